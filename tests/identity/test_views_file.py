"""The views file: what is written is read back, and anything else is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from acfd_stream.errors import MediaError
from acfd_stream.identity.views_file import (
    StoredView,
    ViewsHeader,
    end_line,
    finished_lines,
    header_line,
    is_views,
    read_views,
    view_line,
)

HEADER = ViewsHeader("acfd-id", "1", "ab12", 0.4)


def a_view(track: int, character: int = 0) -> StoredView:
    embedding = np.zeros(8, np.float16)
    embedding[track % 8] = 1
    return StoredView(track, character, 10 * track, track / 4, 0.75, embedding, b"\xff\xd8 a crop")


def lines(*views: StoredView) -> list[bytes]:
    return [header_line(HEADER), *map(view_line, views)]


def test_a_file_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "film.views.ndjson"
    path.write_bytes(b"".join([*lines(a_view(1, 1), a_view(2, 2), a_view(3)), end_line([(2, 1)])]))
    found = read_views(path)
    assert is_views(path.read_bytes())
    assert found.header == HEADER
    assert found.together == {(1, 2)}
    assert [(view.track, view.frame, view.time, view.quality) for view in found.views] == [
        (1, 10, 0.25, 0.75),
        (2, 20, 0.5, 0.75),
        (3, 30, 0.75, 0.75),
    ]
    assert found.views[2].embedding.tolist() == a_view(3).embedding.tolist()
    assert found.views[0].crop == a_view(1).crop
    assert found.by_character() == {1: [found.views[0]], 2: [found.views[1]]}


def test_crops_are_read_on_request(tmp_path: Path) -> None:
    path = tmp_path / "film.views.ndjson"
    path.write_bytes(b"".join([*lines(a_view(1, 1), a_view(2, 2)), end_line([])]))
    found = read_views(path, with_crops=False)
    assert [view.crop for view in found.views] == [b"", b""]
    assert found.crops({1}) == {1: a_view(2).crop}
    path.unlink()
    with pytest.raises(MediaError, match="cannot be read: No such file"):
        found.crops({0})


def test_finishing_fills_in_characters_and_keeps_all_else(tmp_path: Path) -> None:
    path = tmp_path / "film.views.ndjson"
    once = list(finished_lines(lines(a_view(1), a_view(2), a_view(3)), {1: 2, 3: 1}, [(2, 1)]))
    assert once[:-1] == lines(a_view(1, 2), a_view(2, 0), a_view(3, 1))
    assert list(finished_lines(once, {1: 2, 3: 1}, {(1, 2)})) == once  # a kill in between changes nothing
    path.write_bytes(b"".join(once))
    assert read_views(path).together == {(1, 2)}


def test_an_unfinished_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "film.views.ndjson"
    path.write_bytes(b"".join(lines(a_view(1), a_view(2))))
    with pytest.raises(MediaError, match="has no closing line, so the run did not finish"):
        read_views(path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"embedding": "AAAA*"}, "base64|Only"),
        ({"embedding": ""}, "an embedding is damaged"),
        ({"embedding": "AH4="}, "an embedding is damaged"),  # NaN
        ({"embedding": "AAAA"}, "buffer size"),
        ({"character": -1}, "character must be a whole number"),
        ({"quality": 2}, "quality must be"),
        ({"quality": float("inf")}, r"quality must be a number in 0 … 1, got inf"),
        ({"quality": 1e300}, r"quality must be a number in 0 … 1, got 1e\+300"),
        *(({"time": time}, "time must be a number in") for time in (float("inf"), float("nan"), -1e18, 10**19)),
        ({"frame": 10**4000}, "a number has 4001 digits"),
        ({"track": "1"}, "track must be a whole number"),
        ({"crop": 7}, "a crop must be a text"),
        ({"embedding": "ADw="}, "different lengths"),
    ],
)
def test_a_damaged_view_is_named(tmp_path: Path, change: dict[str, object], reason: str) -> None:
    path = tmp_path / "film.views.ndjson"
    damaged = json.dumps(json.loads(view_line(a_view(1, 1))) | change).encode() + b"\n"
    path.write_bytes(b"".join([*lines(a_view(2, 1)), damaged]))
    with pytest.raises(MediaError, match=rf"film\.views\.ndjson: is not a views file of version 1 .*({reason})"):
        read_views(path)


@pytest.mark.parametrize("content", [b"", b"\n", b"[]\n", b"{}\n", b'{"type": "views", "version": 2}\n', b"\xff\xd8\n"])
def test_what_is_no_views_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "film.jsonl"
    path.write_bytes(content)
    with pytest.raises(MediaError, match=r"film\.jsonl: is not a views file of version 1"):
        read_views(path)
    with pytest.raises(MediaError, match="cannot be read: No such file"):
        read_views(tmp_path / "none")
