from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from acfd_stream.detect.engine_cache import EngineCache, EngineKey

KEY = EngineKey("digest", "10.16.1.11", "NVIDIA H200 9.0", "f16", (288, 512), (1, 2, 4))


@pytest.mark.parametrize(
    "change",
    [
        {"model": "other"},
        {"tensorrt": "11.4.0.106"},
        {"gpu": "NVIDIA L4 8.9"},
        {"precision": "int8"},
        {"size": (512, 288)},
        {"batches": (1, 2, 4, 8)},
        {"build": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_everything_that_an_engine_depends_on_is_in_its_key(tmp_path: Path, change: dict[str, object]) -> None:
    cache = EngineCache(tmp_path)
    cache.store(b"engine", KEY)
    assert cache.load(KEY) == b"engine"
    assert cache.load(replace(KEY, **change)) is None  # type: ignore[arg-type]


def test_the_key_of_a_file_is_its_content(tmp_path: Path) -> None:
    for name, content in (("a.onnx", b"one"), ("b.onnx", b"one"), ("c.onnx", b"two")):
        (tmp_path / name).write_bytes(content)
    rest = ("10.0.1", "gpu", "f16", (64, 64), (1,))
    one, same, other = (EngineKey.of_file(tmp_path / f"{name}.onnx", *rest) for name in "abc")
    assert one == same
    assert one != other


def test_engines_lie_beside_the_networks_of_the_cpu(tmp_path: Path) -> None:
    EngineCache(tmp_path).store(b"engine", KEY)
    assert [path.parent.name for path in tmp_path.rglob("*.compiled")] == ["tensorrt"]


def test_without_a_folder_nothing_is_kept_and_nobody_waits() -> None:
    cache = EngineCache(None)
    cache.store(b"engine", KEY)
    with cache.building(KEY), cache.building(KEY):
        assert cache.load(KEY) is None


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = EngineCache(tmp_path / "file")
    with cache.building(KEY):
        cache.store(b"engine", KEY)
    assert cache.load(KEY) is None


HOLD = """
import sys
from pathlib import Path
from acfd_stream.detect.engine_cache import EngineCache
from tests.detect.test_engine_cache import KEY
cache = EngineCache(Path(sys.argv[1]))
with cache.building(KEY):
    print("held", flush=True)
    sys.stdin.read()
    cache.store(b"of the other process", KEY)
"""


def test_two_processes_build_an_engine_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    call = [sys.executable, "-c", HOLD, str(tmp_path)]
    found: list[bytes | None] = []
    cache = EngineCache(tmp_path)

    def build() -> None:
        with cache.building(KEY):
            found.append(cache.load(KEY))

    with subprocess.Popen(call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == b"held\n"
        with cache.building(replace(KEY, size=(64, 64))):  # another engine waits for nobody
            assert cache.load(KEY) is None
        waiting = threading.Thread(target=build)
        waiting.start()
        assert _said(caplog, "waiting for it")
        assert found == []
        other.stdin.close()
        waiting.join(30)
    assert found == [b"of the other process"]


def _said(caplog: pytest.LogCaptureFixture, words: str) -> bool:
    for _ in range(3000):
        if any(words in record.getMessage() for record in caplog.records):
            return True
        threading.Event().wait(0.01)
    return False
