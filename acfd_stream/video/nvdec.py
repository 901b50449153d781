"""What decodes a video, settled before its first frame: NVDEC where planes shall lie on a GPU and it works, or the CPU.

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
"""Options of FFmpeg: take CUDA's primary context; if it is used with flags that FFmpeg does not like, the thread's."""
_way: dict[str, str] = {}  # the one that works
_TRIAL_SIZE = (256, 256)  # no codec's NVDEC asks for more
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DecoderChoice:
    """What decodes, and where the planes of its pictures shall lie."""

    name: str  # "nvdec" or "cpu"
    device: str = "cpu"  # of the planes: "cpu" or "cuda"
    reason: str = ""  # why it is not NVDEC, where planes shall lie on a GPU

    def hardware(self) -> HWAccel | None:
        """For ``av.open``; None where the CPU decodes. What NVDEC does not know the CPU decodes, frame by frame."""
        return _hardware(_way) if self.name == "nvdec" else None


def choose_decoder(wanted: str = "auto", device: str = "cpu") -> DecoderChoice:
    """What decodes from here on. The first call that looks for NVDEC takes a moment; the answer stays.

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
    """Why NVDEC cannot be used here, in a few words; empty where it can. Found out once, and said once in the log."""
    reason = _missing() or _trial()
    if reason:
        _log.warning("videos are decoded on the CPU, not by NVDEC: %s", reason)
    else:
        _log.info("videos are decoded by NVDEC")
    return reason


def _missing() -> str:
    """What of FFmpeg and the driver is not there."""
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
    """Why a small clip does not come back from NVDEC by any way into the context; "" where one works: it is kept."""
    reasons = []
    for options in _WAYS:
        reason = _tried(options)
        if not reason:
            _way.update(options)
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
    """Decoding on the GPU, frames owned by the hardware: FFmpeg leaves them in the context that CuPy uses, too."""
    from av.codec.hwaccel import HWAccel

    if options == _CURRENT:
        make_current()  # on this thread, which opens the container next
    else:
        wait_asleep()
    return HWAccel("cuda", allow_software_fallback=True, options=dict(options), is_hw_owned=True)
