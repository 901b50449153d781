"""What decodes, as far as it can be told without a GPU; that NVDEC does is in tests/test_gpu.py."""

from __future__ import annotations

import ctypes
import io
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import pytest
from av.codec.hwaccel import HWAccel

from acfd_stream.config import VideoConfig
from acfd_stream.errors import BackendUnavailable, ConfigError
from acfd_stream.video import nvdec
from acfd_stream.video.decoder import Decoder
from acfd_stream.video.nvdec import DecoderChoice, choose_decoder
from acfd_stream.video.source import open_video


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    """The answer is not that of another test."""
    nvdec.why_no_nvdec.cache_clear()
    yield
    nvdec.why_no_nvdec.cache_clear()


@pytest.fixture
def finding(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Lets the search for NVDEC end with a reason against it, or none."""
    return lambda reason: monkeypatch.setattr(nvdec, "why_no_nvdec", lambda: reason)


@pytest.mark.parametrize(
    ("wanted", "device", "reason", "chosen"),
    [
        ("auto", "cpu", "", ("cpu", "cpu", "")),  # nobody wants planes on a GPU
        ("auto", "cuda", "", ("nvdec", "cuda", "")),
        ("auto", "cuda", "no driver", ("cpu", "cuda", "no driver")),
        ("cpu", "cuda", "", ("cpu", "cuda", "the CPU was asked for")),
        ("cpu", "cpu", "no driver", ("cpu", "cpu", "the CPU was asked for")),
        ("nvdec", "cpu", "", ("nvdec", "cpu", "")),
        ("nvdec", "cuda", "", ("nvdec", "cuda", "")),
    ],
)
def test_who_decodes(
    finding: Callable[[str], None], wanted: str, device: str, reason: str, chosen: tuple[str, str, str]
) -> None:
    finding(reason)
    assert choose_decoder(wanted, device) == DecoderChoice(*chosen)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_nvdec_by_name_is_never_replaced(finding: Callable[[str], None], device: str) -> None:
    finding("no driver")
    with pytest.raises(BackendUnavailable, match=r"^decoder 'nvdec' cannot be used: no driver; use 'auto' or 'cpu'$"):
        choose_decoder("nvdec", device)


def test_other_names_are_refused() -> None:
    with pytest.raises(ConfigError, match="decoder must be one of auto, cpu, nvdec"):
        VideoConfig(decoder="cuvid")
    with pytest.raises(ConfigError, match="device of planes must be one of cpu, cuda, got 'gpu'"):
        choose_decoder("auto", "gpu")


def test_a_video_is_not_opened_with_a_decoder_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, plain_clip: Path
) -> None:
    monkeypatch.setattr(nvdec, "_missing", lambda: "no driver")
    with pytest.raises(BackendUnavailable, match="no driver"):
        open_video(plain_clip, VideoConfig(decoder="nvdec"))
    with open_video(plain_clip, VideoConfig(decoder="auto")) as video:
        assert not next(video).picture.is_on_device


def test_the_reason_is_said_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(nvdec, "_missing", lambda: "no driver")
    for _ in range(3):
        assert choose_decoder("auto", "cuda").reason == "no driver"
    assert [record.message for record in caplog.records] == ["videos are decoded on the CPU, not by NVDEC: no driver"]


@pytest.mark.parametrize("library", ["libcuda.so.1", "libnvcuvid.so.1"])
def test_a_library_of_the_driver_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    def load(name: str, *_: Any) -> object:
        if name == library:
            raise OSError(f"{name}: cannot open shared object file")
        return object()

    monkeypatch.setattr(ctypes, "CDLL", load)
    assert nvdec._missing().endswith(f"{library} is not found")


def test_this_build_of_pyav_has_all_that_nvdec_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name, *_: object())
    assert nvdec._missing() == ""


def test_the_trial_tells_the_cpu_from_nvdec(monkeypatch: pytest.MonkeyPatch) -> None:
    with av.open(io.BytesIO(nvdec.trial_clip())) as container:
        assert [frame.width for frame in container.decode(video=0)] == [256, 256]
    monkeypatch.setattr(nvdec, "_hardware", lambda options: None)
    assert "fell back on the CPU" in nvdec._trial()


def test_a_trial_that_fails_is_a_reason(monkeypatch: pytest.MonkeyPatch, cuda_device_count: int) -> None:
    monkeypatch.setattr(nvdec, "_hardware", lambda options: HWAccel("cuda", device="999"))
    assert nvdec._trial().startswith("a trial failed (")
    if cuda_device_count == 0:
        assert nvdec.why_no_nvdec() != ""


@pytest.mark.parametrize(("works", "way"), [(0, {"primary_ctx": "1"}), (1, {"primary_ctx": "0", "current_ctx": "1"})])
def test_the_way_into_the_context_that_works_is_kept(
    monkeypatch: pytest.MonkeyPatch, works: int, way: dict[str, str]
) -> None:
    tried: list[dict[str, str]] = []
    monkeypatch.setattr(nvdec, "_options", {})
    monkeypatch.setattr(nvdec, "_missing", lambda: "")
    monkeypatch.setattr(nvdec, "_tried", lambda options: (tried.append(options), "" if len(tried) > works else "no")[1])
    choice = choose_decoder("auto", "cuda")
    assert choice.name == "nvdec"
    hardware = choice.hardware()
    assert hardware is not None
    assert hardware.options == way
    assert hardware.is_hw_owned


def test_what_nvdec_does_not_take_is_said_of_its_video(plain_clip: Path, caplog: pytest.LogCaptureFixture) -> None:
    # PyAV's "drm" opens anywhere and knows no codec: as NVDEC does not know a codec.
    decoder = Decoder(f"file:{plain_clip}", "clip.mkv", VideoConfig(), HWAccel("drm"))
    frames = list(decoder.frames(None))
    decoder.close()
    assert len(frames) == 24
    assert decoder.decoded_by == "cpu"
    assert [record.message for record in caplog.records] == [
        "clip.mkv: decoded on the CPU, for NVDEC does not take its h264"
    ]


def test_without_hardware_nothing_is_said(plain_clip: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    decoder = Decoder(f"file:{plain_clip}", "clip.mkv", VideoConfig())
    assert len(list(decoder.frames(None))) == 24
    decoder.close()
    assert caplog.records == []
