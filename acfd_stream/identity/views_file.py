"""The views file of a video: pictures and embeddings of its tracks, in JSON lines. A cast is built from it.

A header line, then one line per view, by rising end of its track. While a video is being tracked, every view has the
character 0. When it is finished, the lines have their characters, those of character 0 belong to nobody, and a closing
line says which characters were in one frame.
"""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acfd_stream import stored
from acfd_stream.errors import MediaError, ResumeError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    HalfArray = NDArray[np.float16]

VERSION = 1
VIEWS_SUFFIX = ".views.ndjson"
"""Of a views file: it follows the name of the video's results."""
_MOST_DIMENSIONS = 4096
_MOST_CROP_SIGNS = 2**18  # in base64
_MOST_TEXT = 200
_MOST_DIGITS = 20  # of a whole number
MOST_SECONDS = 2.0**40
"""Above every time of a view, also before 0: 35,000 years."""


@dataclass(frozen=True)
class ViewsHeader:
    """The embedding network that made the views."""

    model: str
    model_version: str
    digest: str  # of the model's content
    link_similarity: float = 0.0  # its threshold: the least cosine of two views of one character


@dataclass(frozen=True, eq=False)
class StoredView:
    """One view of a track, as files hold it."""

    track: int
    character: int  # 0: not known
    frame: int
    time: float  # seconds
    quality: float  # in [0, 1]
    embedding: HalfArray  # float16 [D], unit length
    crop: bytes  # JPEG of 144×144


@dataclass(frozen=True)
class ViewsFile:
    """A views file; its crops are in memory only if ``read_views`` was asked for them."""

    path: Path
    header: ViewsHeader
    views: tuple[StoredView, ...]  # in the order of the file
    together: frozenset[tuple[int, int]]  # characters that were in one frame; the lower number first

    def by_character(self) -> dict[int, list[StoredView]]:
        """Character → its views in the order of the file, by rising number; without character 0."""
        found: dict[int, list[StoredView]] = {}
        for view in self.views:
            if view.character:
                found.setdefault(view.character, []).append(view)
        return dict(sorted(found.items()))

    def crops(self, numbers: Collection[int]) -> dict[int, bytes]:
        """The crops of the views with these positions in ``views``, read from the file now.

        Raises:
            MediaError: it cannot be read any more.
        """
        wanted = set(numbers)
        with _reading(self.path), self.path.open("rb") as file:
            rows = enumerate(file, start=-1)  # after the header
            return {number: _decoded(_values(line)["crop"]) for number, line in rows if number in wanted}


def header_line(header: ViewsHeader) -> bytes:
    """The first line."""
    about = {"model": header.model, "model_version": header.model_version, "digest": header.digest}
    return _line({"type": "views", "version": VERSION, **about, "link_similarity": header.link_similarity})


def view_line(view: StoredView) -> bytes:
    """The line of one view."""
    values: dict[str, Any] = {"track": view.track, "character": view.character, "frame": view.frame}
    values |= {"time": round(view.time, 6), "quality": round(view.quality, 4)}
    embedding = view.embedding.astype("<f2", copy=False).tobytes()
    return _line(values | {"embedding": _base64(embedding), "crop": _base64(view.crop)})


def end_line(together: Iterable[tuple[int, int]]) -> bytes:
    """The closing line.

    Args:
        together: pairs of characters that were in one frame, in any order.
    """
    return _line({"type": "end", "together": sorted({(min(pair), max(pair)) for pair in together})})


def finished_lines(
    lines: Iterable[bytes], characters: Mapping[int, int], together: Collection[tuple[int, int]]
) -> Iterator[bytes]:
    """The lines of a finished file, from those that were written while its video was tracked.

    Args:
        lines: the header and the views, with any characters; a closing line is replaced.
        characters: track → character.
        together: pairs of characters that were in one frame.
    """
    for line in lines:
        values = json.loads(line)
        if values.get("type") == "end":
            continue
        if "track" in values:
            values["character"] = characters.get(values["track"], 0)
        yield _line(values)
    yield end_line(together)


def read_views(path: str | Path, *, with_crops: bool = True) -> ViewsFile:
    """The views file at ``path``.

    Args:
        path: of the file.
        with_crops: without them, every ``crop`` is empty; those of a film take hundreds of MB.

    Raises:
        MediaError: it cannot be read, is no views file, or is unfinished.
    """
    path = Path(path)
    ends: list[Mapping[str, Any]] = []
    views: list[StoredView] = []
    with _reading(path), path.open("rb") as file:
        header = _header(_values(file.readline()))
        for values in map(_values, file):
            if values.get("type") == "end":
                ends.append(values)
                break
            views.append(_view(values, with_crops))
        if len({len(view.embedding) for view in views}) > 1:
            raise ValueError("its embeddings have different lengths")
        together = _pairs(ends[0]["together"]) if ends else frozenset()
    if not ends:
        raise MediaError(f"{path}: has no closing line, so the run did not finish; run it again")
    return ViewsFile(path, header, tuple(views), together)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise MediaError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, ResumeError) as error:
        reason = str(error).removeprefix("checkpoint is damaged: ").removesuffix("; begin at the beginning")
        raise MediaError(f"{path}: is not a views file of version {VERSION} ({reason})") from error


def is_views(head: bytes) -> bool:
    """Whether a file that begins with ``head`` is a views file."""
    return head.startswith(b'{"type": "views", "version": ')


def _values(line: bytes) -> Any:
    return json.loads(line, parse_int=_whole)


def _whole(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"a number has {len(digits)} digits")
    return int(digits)


def _header(values: Mapping[str, Any]) -> ViewsHeader:
    if values["type"] != "views" or values["version"] != VERSION:
        raise ValueError(f"its first line is of type {values['type']!r} and version {values['version']!r}")
    model, version, digest = (
        stored.text(values[name], name, _MOST_TEXT) for name in ("model", "model_version", "digest")
    )
    return ViewsHeader(
        model, version, digest, stored.real(values.get("link_similarity", 0.0), "link_similarity", -1, 1)
    )


def _view(values: Mapping[str, Any], with_crop: bool) -> StoredView:
    import numpy as np

    embedding = np.frombuffer(_decoded(values["embedding"]), "<f2")
    if not 0 < len(embedding) <= _MOST_DIMENSIONS or not np.isfinite(embedding).all():
        raise ValueError("an embedding is damaged")
    crop = values["crop"]
    if not isinstance(crop, str) or len(crop) > _MOST_CROP_SIGNS:
        raise ValueError(f"a crop must be a text of at most {_MOST_CROP_SIGNS} signs")
    return StoredView(
        stored.whole(values["track"], "track"),
        stored.whole(values["character"], "character"),
        stored.whole(values["frame"], "frame"),
        stored.real(values["time"], "time", -MOST_SECONDS, MOST_SECONDS),
        stored.score(values["quality"], "quality"),
        embedding,
        _decoded(crop) if with_crop else b"",
    )


def _decoded(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _pairs(values: Any) -> frozenset[tuple[int, int]]:
    return frozenset((stored.whole(one, "together"), stored.whole(other, "together")) for one, other in values)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _line(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values, allow_nan=False).encode() + b"\n"
