"""Data types shared by all modules: Picture, Detections, Face, FrameResult.

The module loads no other of this package before a method needs it. Boxes are ``[x1, y1, x2, y2]`` float32 in pixels;
the name or docstring of a box says of which picture.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from enum import Enum, StrEnum
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Self, TypeVar, get_origin, get_type_hints, overload

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from acfd_stream.characters import CharacterLink
    from acfd_stream.rgb import HasPixels, PilImage

    P = TypeVar("P", bound=PilImage)

    FloatArray = NDArray[np.float32]
    IndexArray = NDArray[np.int64]
    PlaneArray = NDArray[Any]  # uint8, or uint16 for more than 8 bits; on a GPU a CuPy array
else:  # a client needs these types without arrays: annotations must not load NumPy
    FloatArray = IndexArray = PlaneArray = Any


class Closeable(ABC):
    """Base of context managers that call ``close`` at the end of a ``with`` block."""

    @abstractmethod
    def close(self) -> None:
        """Free all resources."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class PixelFormat(Enum):
    """Layout of the planes of a frame in memory."""

    YUV420P = "yuv420p"  # three planes: Y [H, W], U and V [ceil(H/2), ceil(W/2)]
    NV12 = "nv12"  # two planes: Y [H, W], UV [ceil(H/2), ceil(W/2), 2]
    RGB24 = "rgb24"  # one plane: [H, W, 3]


class ColorMatrix(Enum):
    """Coefficients that convert YCbCr to RGB."""

    BT601 = "bt601"
    BT709 = "bt709"
    BT2020 = "bt2020"  # non-constant luminance


class Transfer(Enum):
    """The curve from a signal to light."""

    SDR = "sdr"
    PQ = "pq"  # SMPTE ST 2084, of HDR10 and Dolby Vision
    HLG = "hlg"  # hybrid log-gamma, ITU-R BT.2100


class Primaries(Enum):
    """The colours of pure red, green and blue."""

    BT709 = "bt709"
    BT2020 = "bt2020"
    P3 = "p3"


@dataclass(frozen=True, slots=True)
class Picture:
    """Pixels in a decoder's format, and how to display them.

    ``planes`` may have any row stride; samples of more than 8 bits are uint16 in the low bits. The stored picture is
    first rotated by ``rotation`` degrees clockwise, then scaled to ``display_size``, the coordinates of boxes. Planes
    are in host memory, or all on one GPU; a reader there keeps the picture until its CUDA stream has finished.
    """

    planes: tuple[PlaneArray, ...]  # see PixelFormat
    pixel_format: PixelFormat
    display_size: tuple[int, int]  # (height, width) after rotation and pixel aspect
    bit_depth: int = 8  # 8 … 16
    color_matrix: ColorMatrix = ColorMatrix.BT601
    is_full_range: bool = False
    rotation: int = 0  # 0, 90, 180 or 270 degrees clockwise
    view_side: int = 0  # longer side of the network's input, in pixels; 0: the detector's config
    transfer: Transfer = Transfer.SDR
    primaries: Primaries = Primaries.BT709
    ready: Any = field(default=None, compare=False)  # CUDA event after which planes on a GPU may be read; None: now

    @property
    def is_on_device(self) -> bool:
        """Whether the planes are on a GPU."""
        # Checked on the type: the attribute of an array asks the driver for the stream.
        return bool(self.planes) and hasattr(type(self.planes[0]), "__cuda_array_interface__")

    def on_host(self) -> Picture:
        """The picture with its planes in host memory: itself, or a finished copy."""
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
        """A picture that shares the memory of ``image``, uint8 [H, W, 3] RGB.

        Raises:
            ShapeError: ``image`` is not of that kind.
        """
        from acfd_stream.rgb import rgb_of

        image = rgb_of(image)
        return cls((image,), PixelFormat.RGB24, (image.shape[0], image.shape[1]), is_full_range=True)


class Seam(StrEnum):
    """What begins anew at a frame, because recordings were joined or the stream changes."""

    CLOCK = "clock"  # the times restart here; they were continued
    STREAM = "stream"  # another PID, program, codec or file begins
    SIZE = "size"  # the display size changes


class GapCause(StrEnum):
    """The sign by which a gap was found."""

    LOST_PACKETS = "lost packets"
    TIME_HOLE = "time hole"
    DAMAGED_PACKET = "damaged packet"
    DAMAGED_CONTAINER = "damaged container"


@dataclass(frozen=True, slots=True)
class Gap:
    """A hole in a video: pictures that were there once and are in no result."""

    time: float  # where the hole begins, in seconds on the line of time of the results
    missing_seconds: float  # >= 0; 0 where nothing says how much
    cause: GapCause


@dataclass(frozen=True, slots=True)
class Detections:
    """Faces of one picture, best first, in display pixels."""

    boxes_xyxy: FloatArray  # [N, 4]
    scores: FloatArray  # [N], in [0, 1]
    is_truncated: bool = False  # a limit (candidates or faces) cut off detections
    cut_score: float = 0.0  # highest score among detections that were cut off

    def __len__(self) -> int:
        return int(self.scores.shape[0])

    def at_least(self, min_score: float) -> Detections:
        """The detections whose score is ``min_score`` or higher."""
        count = int((self.scores >= min_score).sum())
        is_truncated = self.is_truncated and self.cut_score >= min_score
        return Detections(self.boxes_xyxy[:count], self.scores[:count], is_truncated, self.cut_score)

    @overload
    def draw(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]: ...
    @overload
    def draw(self, image: P) -> P: ...

    def draw(self, image: Any) -> Any:
        """A copy of the picture with a box and a score for every face.

        Args:
            image: the picture of these detections, uint8 [H, W, 3] RGB or a PIL image.

        Returns:
            uint8 [H, W, 3] RGB, or a PIL image in mode "RGB" if one was given.

        Raises:
            ShapeError: ``image`` is neither.
        """
        import numpy as np

        from acfd_stream.drawing import draw_box, draw_label, track_color
        from acfd_stream.rgb import in_kind_of, rgb_of

        drawn, color = np.array(rgb_of(image), order="C"), track_color(1)
        boxes = self.boxes_xyxy.tolist()
        for box in boxes:
            draw_box(drawn, box, color)
        for box, score in zip(boxes, self.scores.tolist(), strict=True):  # above all boxes
            draw_label(drawn, box, f"{score:.2f}", color)
        return in_kind_of(image, drawn)

    @classmethod
    def empty(cls) -> Detections:
        """No faces."""
        import numpy as np

        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))


class FaceState(Enum):
    """How the box of a face was found."""

    DETECTED = "detected"  # by the detector, in this frame
    FILLED = "filled"  # interpolated between frames before and after this one


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
    character: int = 0  # number of the character in this video, from 1; 0: unknown
    name: str = ""  # of the character in a cast; "": it has none

    @overload
    def crop(self, image: NDArray[np.uint8] | HasPixels, margin: float = 0.0) -> NDArray[np.uint8]: ...
    @overload
    def crop(self, image: P, margin: float = 0.0) -> P: ...

    def crop(self, image: Any, margin: float = 0.0) -> Any:
        """The part of a picture that shows the face, at least one pixel; a copy.

        Args:
            image: the Frame of the face, or its picture in display size: uint8 [H, W, 3] RGB or a PIL image. A Frame is
                converted in every call: for several faces, call its ``to_rgb`` once.
            margin: how much more to show on each side, as a share of the box's width and height, >= 0.

        Returns:
            uint8 [h, w, 3] RGB within the picture, or a PIL image in mode "RGB" if one was given.

        Raises:
            ShapeError: ``image`` is none of these, or ``margin`` is negative.
        """
        from acfd_stream.rgb import cut

        return cut(image, self.box_xyxy, margin)

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
    """Outcome of a frame."""

    OK = "ok"  # done within the objective, or in file mode, which has none
    LATE = "late"  # done, later than the objective
    DROPPED = "dropped"  # not detected, by the drop policy of its stream
    FAILED = "failed"  # could not be decoded


class DropReason(Enum):
    """Why a frame of a live stream was dropped."""

    QUEUE_FULL = "queue_full"  # newer frames replaced it, or its queue was full
    STALE = "stale"  # it was late before detection, and a newer frame had arrived
    CLIENT_SLOW = "client_slow"  # the client does not read results


@dataclass(frozen=True, slots=True)
class Verdict:
    """On-time status of a frame: its outcome and latency."""

    outcome: Outcome = Outcome.OK
    latency_seconds: float | None = None  # from the arrival of its bytes to its result; None: unknown
    cause: str | None = None  # slowest stage of a late frame
    drop_reason: DropReason | None = None  # of a dropped frame
    failure: str = ""  # error of a failed frame


@dataclass(frozen=True, slots=True)
class FrameResult:
    """Result of one frame."""

    index: int
    pts: int
    time_base: Fraction
    pts_seconds: float
    faces: tuple[Face, ...]  # by rising track_id
    shot: int = 0  # number of the shot, from 0
    is_pts_filled: bool = False
    reused: bool = False  # the detections are those of the previous drawing
    is_truncated: bool = False  # a limit cut off detections that could belong to a track
    timings: dict[str, float] = field(default_factory=dict, compare=False)  # stage → seconds
    verdict: Verdict = field(default=Verdict(), compare=False)
    is_damaged: bool = False  # the decoder says that parts of the picture are wrong
    seams: tuple[Seam, ...] = ()  # what begins anew here
    display_size: tuple[int, int] | None = None  # (height, width) from here on; None: as the frame before
    links: tuple[CharacterLink, ...] = ()  # of tracks to characters, that are new or changed at this frame


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """Metadata of a container's video stream."""

    source: str  # file name as given, URL without its secrets, "<stream>" for bytes
    display_size: tuple[int, int]  # (height, width)
    time_base: Fraction
    frame_rate: Fraction | None  # average, where known
    frame_count: int | None  # from the header; may be wrong
    duration_seconds: float | None
    codec: str
    times: str = ""  # "inferred" where the times of frames are made up, as for a raw stream


class Mode(Enum):
    """Mode of a stream."""

    LIVE = "live"  # low latency; frames may be dropped
    FILE = "file"  # every frame has a result


class Stage(Enum):
    """Stages of a frame, in order."""

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
    """State of a job."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINAL_STATES = (JobState.DONE, JobState.FAILED, JobState.CANCELLED)
"""States in which a job stays."""
