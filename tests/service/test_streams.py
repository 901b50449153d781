"""Streams side by side give what ``acfd-stream track`` gives on the same files, bit for bit."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from acfd_stream.cli.track import TrackOptions, run_track
from acfd_stream.client.client import Client
from acfd_stream.client.stream_progress import StreamOptions
from acfd_stream.config import DetectConfig, VideoConfig
from acfd_stream.outputs import ResultEnd, ResultHeader
from acfd_stream.outputs.jsonl import JsonlLines
from acfd_stream.service.server import Server
from tests.service.rig import DETECT, repacked, serving

REAL = DetectConfig(size=256, threads=1)


def tracked(clip: Path, model: str, detect: DetectConfig, out: Path, end: float | None = None) -> list[bytes]:
    """Lines of ``acfd-stream track``."""
    video = VideoConfig(end_seconds=end)
    call = TrackOptions(str(clip), str(out), "jsonl", True, video, detect, model)
    assert run_track(call) == 0
    return out.read_bytes().splitlines(keepends=True)


def streamed(server: Server, clip: Path, end: float | None = None) -> list[bytes]:
    """The same lines, of what the service answers."""
    options = StreamOptions(end_seconds=end)
    with Client(f"127.0.0.1:{server.port}") as client, client.track(clip, options, name=str(clip)) as stream:
        start = stream.start
        info = start.info
        header = ResultHeader(
            str(clip), info.display_size, info.time_base, start.model, start.settings, info.frame_rate
        )
        lines = JsonlLines(header)
        found = [lines.header(), *(lines.frame(result) for result in stream)]
        assert stream.end is not None
        end_word = ResultEnd(stream.end.tracks, stream.end.is_complete, stream.end.error, stream.end.warnings)
    return [*found, lines.end(end_word)]


def at_once(server: Server, clips: Sequence[Path]) -> list[list[bytes]]:
    """Lines of all clips, streamed side by side."""
    found: dict[int, list[bytes]] = {}

    def run(place: int) -> None:
        found[place] = streamed(server, clips[place])

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(clips))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[place] for place in range(len(clips))]


@pytest.mark.parametrize("batch", [1, 4, 8])
def test_two_streams_at_once_equal_the_command_on_their_files(
    tiny_model: Path, clip: Path, other_clip: Path, tmp_path: Path, batch: int
) -> None:
    alone = [
        tracked(each, str(tiny_model), DETECT, tmp_path / f"{number}.jsonl")
        for number, each in enumerate([clip, other_clip])
    ]
    assert [len(lines) for lines in alone] == [62, 77]
    assert any(json.loads(line)["faces"] for line in alone[0][1:-1])
    with serving(tiny_model, detect=DetectConfig(size=128, threads=2, batch=batch)) as server:
        assert at_once(server, [clip, other_clip]) == alone


def test_the_shipped_model_gives_the_same_on_real_films(shared: Path, tmp_path: Path) -> None:
    film = repacked(shared / "videos" / "bbb_720p_12s.mp4", tmp_path / "film.mkv")
    alone = tracked(film, "acfd-n", REAL, tmp_path / "film.jsonl", end=2.0)
    with serving(Path("acfd-n"), detect=REAL) as server:
        assert streamed(server, film, end=2.0) == alone
