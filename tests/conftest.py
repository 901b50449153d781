"""What every room's tests stand on: real media, a tiny model, the marker of GPU tests, a cache of their own."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# A shell starts what runs in its background deaf to Ctrl-C, and children inherit that; the tests of Ctrl-C need ears.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@lru_cache(maxsize=1)
def cuda_devices() -> int:
    """Number of CUDA devices that the driver can start; 0 without a driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    is_usable = driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
    return count.value if is_usable else 0


NO_GPU = "needs a CUDA device, and the driver of this machine offers none"


def pytest_collection_finish(session: pytest.Session) -> None:
    """End at once, in one line and as a failure, where ``FAIL_WITHOUT_GPU=1`` and GPU tests are asked for in vain."""
    is_asked = any(item.get_closest_marker("gpu") is not None for item in session.items)
    if is_asked and os.environ.get("FAIL_WITHOUT_GPU") == "1" and cuda_devices() == 0:
        pytest.exit(f"{NO_GPU}; nothing was run", returncode=1)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a GPU test where there is no GPU."""
    if item.get_closest_marker("gpu") is not None and cuda_devices() == 0:
        pytest.skip(NO_GPU)


@pytest.fixture(scope="session")
def cuda_device_count() -> int:
    """Number of usable CUDA devices."""
    return cuda_devices()


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real media: ``ACFD_SHARED``, else ``../shared`` beside the checkout.

    Without it a test is skipped, and fails when ``CI=true``.
    """
    folder = Path(os.environ.get("ACFD_SHARED") or ROOT.parent / "shared")
    if folder.is_dir():
        return folder
    reason = f"no real media: {folder} is not a folder (ACFD_SHARED says where it is)"
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hand-made network that finds bright squares; for where the quality of detection does not matter."""
    from tests.detect.tiny_model import write_tiny_model

    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny.onnx")


@pytest.fixture(scope="session")
def tiny_embedder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hand-made network that embeds a face by the colour of its middle."""
    from tests.identity.tiny_embedder import write_tiny_embedder

    return write_tiny_embedder(tmp_path_factory.mktemp("models") / "tiny-id.onnx")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Compiled models go to a folder of this run, never to the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACFD_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield
