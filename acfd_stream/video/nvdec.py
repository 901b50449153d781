"""Chooses the decoder of a video before its first frame: NVDEC for planes on a GPU if it works, else the CPU.

That NVDEC works is not believed but tried: a clip of two frames, made here, must come back on the GPU.
"""

from __future__ import annotations

import ctypes
import io
import logging
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from acfd_stream.errors import BackendUnavailable, ConfigError
from acfd_stream.ops.cuda.context import make_current, wait_asleep

if TYPE_CHECKING:
    from av.codec.hwaccel import HWAccel

DEVICES = ("cpu", "cuda")
_LIBRARIES = {
    "libcuda.so.1": "there is no NVIDIA driver",
    "libnvcuvid.so.1": "the driver came without its video part (a container needs the capability 'video')",
}
_DLPACK_CUDA = 2
_PRIMARY, _CURRENT = {"primary_ctx": "1"}, {"primary_ctx": "0", "current_ctx": "1"}
_WAYS = (_PRIMARY, _CURRENT)
"""FFmpeg options to try: CUDA's primary context, or the thread's if FFmpeg rejects the flags of the primary one."""
_options: dict[str, str] = {}  # the options that work
_TRIAL_SIZE = (256, 256)  # enough for NVDEC of every codec
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DecoderChoice:
    """The decoder and the device of the planes."""

    name: str  # "nvdec" or "cpu"
    device: str = "cpu"  # of the planes: "cpu" or "cuda"
    reason: str = ""  # why it is not NVDEC, for planes on a GPU

    def hardware(self) -> HWAccel | None:
        """For ``av.open``; None if the CPU decodes. The CPU also decodes streams that NVDEC does not support."""
        return _hardware(_options) if self.name == "nvdec" else None


def choose_decoder(wanted: str = "auto", device: str = "cpu") -> DecoderChoice:
    """The decoder for the following videos. The first trial of NVDEC takes a moment; its result is cached.

    Args:
        wanted: "auto", "cpu" or "nvdec", see ``VideoConfig.decoder``.
        device: where the network wants planes: "cpu" or "cuda".

    Raises:
        BackendUnavailable: "nvdec" was asked for by name and cannot be used.
        ConfigError: no such device.
    """
    if device not in DEVICES:
        raise ConfigError(f"device of planes must be one of {', '.join(DEVICES)}, got {device!r}")
    if wanted == "cpu":
        return DecoderChoice("cpu", device, "the CPU was asked for")
    if wanted == "auto" and device == "cpu":
        return DecoderChoice("cpu")
    reason = why_no_nvdec()
    if not reason:
        return DecoderChoice("nvdec", device)
    if wanted == "nvdec":
        raise BackendUnavailable(f"decoder 'nvdec' cannot be used: {reason}; use 'auto' or 'cpu'")
    return DecoderChoice("cpu", device, reason)


@cache
def why_no_nvdec() -> str:
    """The reason why NVDEC cannot be used here, "" if it can. Tested once and logged once."""
    reason = _missing() or _trial()
    if reason:
        _log.warning("videos are decoded on the CPU, not by NVDEC: %s", reason)
    else:
        _log.info("videos are decoded by NVDEC")
    return reason


def _missing() -> str:
    """The missing part of FFmpeg or of the driver, or ""."""
    from av import Codec
    from av.codec.hwaccel import HWDeviceType, hwdevices_available
    from av.video.plane import VideoPlane

    configs = Codec("h264", "r").hardware_configs
    is_built_in = "cuda" in hwdevices_available() and any(
        config.device_type == HWDeviceType.cuda and config.is_supported for config in configs
    )
    if not is_built_in:
        return "the FFmpeg that PyAV brings was built without it"
    if not hasattr(VideoPlane, "__dlpack__"):
        return "this PyAV cannot hand out frames that lie on a GPU; it takes 17.0 or newer"
    for library, meaning in _LIBRARIES.items():
        try:
            ctypes.CDLL(library)
        except OSError:
            return f"{meaning}: {library} is not found"
    return ""


def _trial() -> str:
    """The reason why NVDEC decodes a small clip with none of the options, or ""; keeps the options that work."""
    reasons = []
    for options in _WAYS:
        reason = _tried(options)
        if not reason:
            _options.update(options)
            return ""
        reasons.append(reason)
    return reasons[0]


def _tried(options: dict[str, str]) -> str:
    import av

    try:
        with av.open(io.BytesIO(trial_clip()), "r", hwaccel=_hardware(options)) as container:
            frame = next(container.decode(video=0))
            is_on_device = frame.format.name == "cuda" and frame.planes[0].__dlpack_device__()[0] == _DLPACK_CUDA
    except (av.FFmpegError, OSError, RuntimeError, StopIteration, ValueError) as error:
        return f"a trial failed ({str(error) or type(error).__name__})"
    return "" if is_on_device else "in a trial FFmpeg fell back on the CPU; the GPU may have no decoder for H.264"


def trial_clip() -> bytes:
    """Two grey frames of H.264 in Matroska."""
    import av

    target = io.BytesIO()
    with av.open(target, "w", format="matroska") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.height, stream.width, stream.pix_fmt = *_TRIAL_SIZE, "yuv420p"
        for _ in range(2):
            frame = av.VideoFrame(stream.width, stream.height, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([128]) * plane.buffer_size)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return target.getvalue()


def _hardware(options: dict[str, str]) -> HWAccel:
    """Decoding on the GPU that leaves frames in the CUDA context that CuPy uses."""
    from av.codec.hwaccel import HWAccel

    if options == _CURRENT:
        make_current()  # on this thread, which opens the container next
    else:
        wait_asleep()
    return HWAccel("cuda", allow_software_fallback=True, options=dict(options), is_hw_owned=True)
