"""What a frame wears on its way: Frame, then Detections, then Face and FrameResult.

Every room speaks in these; the module imports nothing of ours. Boxes are always
``[x1, y1, x2, y2]`` float32 in pixels; a box's frame of reference stands in its name or docstring.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from fractions import Fraction
from typing import TYPE_CHECKING, Any, get_origin, get_type_hints

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]
    IndexArray = NDArray[np.int64]
    PlaneArray = NDArray[Any]  # uint8, or uint16 holding more than 8 bits; on a GPU an array of CuPy's
else:  # a client needs these types and no arrays: it shall not load NumPy for annotations
    FloatArray = IndexArray = PlaneArray = Any


class PixelFormat(Enum):
    """How the planes of a frame are laid out in memory."""

    YUV420P = "yuv420p"  # three planes: Y [H, W], U and V [ceil(H/2), ceil(W/2)]
    NV12 = "nv12"  # two planes: Y [H, W], UV [ceil(H/2), ceil(W/2), 2]
    RGB24 = "rgb24"  # one plane: [H, W, 3]


class ColorMatrix(Enum):
    """Coefficients that take YCbCr to RGB."""

    BT601 = "bt601"
    BT709 = "bt709"


@dataclass(frozen=True, slots=True)
class Picture:
    """Pixels as a decoder left them, and what is needed to see them upright.

    ``planes`` may have any row stride; samples of more than 8 bits are uint16 in the low bits.
    The stored picture is first turned by ``rotation`` degrees clockwise, then stretched to
    ``display_size``, which is where boxes live. Planes lie in host memory or all on one GPU; whoever
    reads them there holds the picture until his stream is done with it.
    """

    planes: tuple[PlaneArray, ...]  # see PixelFormat
    pixel_format: PixelFormat
    display_size: tuple[int, int]  # (height, width) after rotation and pixel aspect
    bit_depth: int = 8  # 8 … 16
    color_matrix: ColorMatrix = ColorMatrix.BT601
    is_full_range: bool = False
    rotation: int = 0  # 0, 90, 180 or 270 degrees clockwise
    view_side: int = 0  # longer side of the network's view of it, pixels; 0: as the detector's config says
    ready: Any = field(default=None, compare=False)  # CUDA event from which on planes on a GPU may be read; None: now

    @property
    def is_on_device(self) -> bool:
        """Whether the planes lie on a GPU."""
        # Asked of the type: the interface of an array itself asks the driver for the stream.
        return bool(self.planes) and hasattr(type(self.planes[0]), "__cuda_array_interface__")

    def on_host(self) -> Picture:
        """The picture with its planes in host memory: itself, or a copy that has been waited for."""
        if not self.is_on_device:
            return self
        if self.ready is not None:
            self.ready.synchronize()
        planes: tuple[Any, ...] = self.planes
        return replace(self, planes=tuple(plane.get() for plane in planes), ready=None)

    @property
    def stored_size(self) -> tuple[int, int]:
        """(height, width) of the first plane, before rotation."""
        height, width = self.planes[0].shape[:2]
        return int(height), int(width)

    @classmethod
    def from_rgb(cls, image: NDArray[np.uint8]) -> Picture:
        """A picture over ``image``, uint8 [H, W, 3] RGB, without a copy."""
        return cls((image,), PixelFormat.RGB24, (image.shape[0], image.shape[1]), is_full_range=True)


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded frame: a picture with its place in time."""

    index: int  # 0, 1, 2 … in display order, counted from where reading began
    pts: int  # in units of time_base, as the container says; may be negative
    time_base: Fraction  # seconds
    picture: Picture
    is_pts_filled: bool = False  # the container had none: pts was worked out from the frame rate
    arrived_at: float | None = field(default=None, compare=False)  # perf_counter() when its bytes were there
    ingest_seconds: float = field(default=0.0, compare=False)  # its bytes waited for the decoder
    decode_seconds: float = field(default=0.0, compare=False)  # the decoder worked on it
    failure: str = field(default="", compare=False)  # why it has no pixels: it could not be decoded

    @property
    def pts_seconds(self) -> float:
        """Presentation time in seconds."""
        return float(self.pts * self.time_base)


@dataclass(frozen=True, slots=True)
class Detections:
    """Faces of one picture, best first, in display pixels."""

    boxes_xyxy: FloatArray  # [N, 4]
    scores: FloatArray  # [N], in [0, 1]
    is_truncated: bool = False  # a cap (candidates or faces) cut something off
    cut_score: float = 0.0  # nothing that was cut off scores more than this

    def __len__(self) -> int:
        return int(self.scores.shape[0])

    @classmethod
    def empty(cls) -> Detections:
        """No faces."""
        import numpy as np

        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))


class FaceState(Enum):
    """Where a face's box comes from."""

    DETECTED = "detected"  # the detector saw it in this frame
    FILLED = "filled"  # seen before and after this frame, placed in between


@dataclass(frozen=True, slots=True)
class Face:
    """One face of one frame.

    The metadata of a field names it in result files and gives the decimals of a number. Files, checkpoints and messages
    derive from this declaration. A further field is an int, float, bool, str or Enum with a default; it needs an entry
    here and one of the same name in ``types.proto``.
    """

    track_id: int = field(metadata={"name": "id"})  # from 1, never used twice in a stream
    box_xyxy: tuple[float, float, float, float] = field(metadata={"name": "box", "decimals": 2})  # display pixels
    score: float = field(metadata={"decimals": 4})  # in [0, 1]; of a filled face the lower of its neighbours'
    state: FaceState = FaceState.DETECTED

    def values(self) -> list[Any]:
        """The values of all fields in order, exact and ready for JSON."""
        return [each.plain(self) for each in FACE_FIELDS]

    @classmethod
    def of_values(cls, values: Iterable[Any]) -> Face:
        """The face that ``values`` came from; fields after the last value have their defaults."""
        return cls(*(each.kind(value) for each, value in zip(FACE_FIELDS, values, strict=False)))


@dataclass(frozen=True, slots=True)
class FaceField:
    """One field of ``Face``, as files, checkpoints and messages store it."""

    attribute: str  # of Face
    name: str  # in result files
    kind: type  # int, float, bool, str, an Enum, or tuple for a box
    decimals: int | None  # that result files keep of a number; None: all

    def plain(self, face: Face) -> Any:
        """The field of ``face``, exact and ready for JSON."""
        value = getattr(face, self.attribute)
        if self.kind is tuple:
            return list(value)
        return value.value if isinstance(value, Enum) else value


FACE_FIELDS = tuple(
    FaceField(each.name, each.metadata.get("name", each.name), get_origin(kind) or kind, each.metadata.get("decimals"))
    for each, kind in zip(fields(Face), get_type_hints(Face).values(), strict=True)
)


class ShotChange(Enum):
    """Why a shot began at a frame."""

    CUT = "cut"
    FADE = "fade"


class Outcome(Enum):
    """How a frame fared."""

    OK = "ok"  # answered within the objective, or of a file, which has none
    LATE = "late"  # answered, later than the objective
    DROPPED = "dropped"  # not looked at, by the policy of its stream
    FAILED = "failed"  # could not be decoded


class DropReason(Enum):
    """Why a frame of a live stream was left out."""

    QUEUE_FULL = "queue_full"  # newer ones pressed it out, or it found no room
    STALE = "stale"  # it was late before it came to the network, and a newer one was there
    CLIENT_SLOW = "client_slow"  # nobody takes the results


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a frame fared, and how long that took."""

    outcome: Outcome = Outcome.OK
    latency_seconds: float | None = None  # from when its bytes were there to its result; None: not known
    cause: str | None = None  # of a late frame the stage that took longest
    drop_reason: DropReason | None = None  # of a dropped frame
    failure: str = ""  # of a failed frame what went wrong


@dataclass(frozen=True, slots=True)
class FrameResult:
    """What is said of one frame."""

    index: int
    pts: int
    time_base: Fraction
    pts_seconds: float
    faces: tuple[Face, ...]  # by rising track_id
    shot: int = 0  # number of the shot, from 0
    is_pts_filled: bool = False
    reused: bool = False  # the detections are the previous drawing's
    is_truncated: bool = False  # a cap cut off what might have been a face of a track
    timings: dict[str, float] = field(default_factory=dict, compare=False)  # stage → seconds
    verdict: Verdict = field(default=Verdict(), compare=False)


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What a container says of its video stream before a frame is decoded."""

    source: str  # file name as given, URL without its secrets, "<stream>" for bytes
    display_size: tuple[int, int]  # (height, width)
    time_base: Fraction
    frame_rate: Fraction | None  # average, where known
    frame_count: int | None  # as the header claims; may be wrong
    duration_seconds: float | None
    codec: str


class Mode(Enum):
    """What a stream is for."""

    LIVE = "live"  # latency counts; may drop
    FILE = "file"  # every frame counts


class Stage(Enum):
    """Where the time of a frame goes, in the order in which it meets them."""

    INGEST = "ingest"  # its bytes wait for the decoder
    DECODE = "decode"
    QUEUE = "queue"  # decoded, waits for a batch
    PREPROCESS = "preprocess"
    INFER = "infer"
    DECODE_BOXES = "decode_boxes"
    NMS = "nms"
    TRACK = "track"
    ENCODE = "encode"  # into a message
    SEND = "send"  # until gRPC took it


class JobState(Enum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINAL_STATES = (JobState.DONE, JobState.FAILED, JobState.CANCELLED)
"""States that a job does not leave."""
