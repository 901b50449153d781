"""Names of a cast in recordings: of files, of streams and of episodes that were interrupted."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

from acfd_stream.characters import Character
from acfd_stream.errors import CastError
from acfd_stream.identity.cast.cast import Cast
from acfd_stream.identity.views_file import StoredView, ViewsHeader, end_line, header_line, view_line
from acfd_stream.outputs import read_results
from acfd_stream.pipeline import session
from acfd_stream.recording import episode
from acfd_stream.recording.episode import record_episode
from acfd_stream.recording.record import Recorder
from acfd_stream.recording.sinks import FormatSink
from acfd_stream.recording.task import RecordingSettings, RecordingState, RecordingTask
from tests.pipeline.conftest import write_clip
from tests.pipeline.square_finder import SquareFinder
from tests.recording.scripted_characters import CONFIG, EMBEDDER, NUMBER, install
from tests.recording.test_episode import stop_after


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_clip(tmp_path_factory.mktemp("clips") / "clip.mkv"))


@pytest.fixture
def cast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cast whose one member looks as all faces of the script do."""
    monkeypatch.setattr(session, "open_characters", session.open_characters)  # put back afterwards
    install()
    header = ViewsHeader(EMBEDDER.name, EMBEDDER.version, EMBEDDER.digest, EMBEDDER.link_similarity)
    view = StoredView(1, 1, 0, 0.0, 0.5, np.full(4, 0.5, np.float16), b"jpeg")
    views = tmp_path / "before.views.ndjson"
    views.write_bytes(b"".join([header_line(header), view_line(view), end_line([])]))
    with Cast.open(tmp_path / "cast.db", is_new=True) as cast:
        cast.build([views])
        cast.name(1, "Velma")
    return tmp_path / "cast.db"


def test_files_and_the_end_of_streams_have_the_names(clip: str, cast: Path, tmp_path: Path) -> None:
    stream = io.BytesIO()
    sinks = [
        FormatSink(tmp_path / "a.jsonl", "jsonl"),
        FormatSink(stream, "jsonl"),
        FormatSink(tmp_path / "a.vtt", "vtt"),
    ]
    settings = RecordingSettings(characters=CONFIG, cast=cast)
    Recorder(source=clip, settings=settings, engine=SquareFinder(), sinks=sinks).record()
    results = read_results(tmp_path / "a.jsonl")
    assert results.end.characters == (Character(NUMBER, (1, 2), 0.875, "Velma"),)
    assert {face.name for result in results for face in result.faces} == {"Velma"}
    assert json.loads(stream.getvalue().splitlines()[-1])["characters"][0]["name"] == "Velma"
    assert "Velma" in (tmp_path / "a.vtt").read_text()


def test_an_episode_has_the_names_wherever_it_was_interrupted(
    clip: str, cast: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(episode, "_PROGRESS_SECONDS", 0.0)
    results = []
    for parts in ((), (7, 31)):
        out = tmp_path / f"out{len(parts)}"
        task = RecordingTask("key", clip, "1.mkv", out, ("jsonl", "views"), characters=CONFIG, cast=cast)
        for frames in parts:
            assert record_episode(task, SquareFinder(), **stop_after(frames)).state is RecordingState.CANCELLED
        assert record_episode(task, SquareFinder()).state is RecordingState.DONE
        results.append((out / "1.mkv.jsonl").read_bytes())
    assert results[0] == results[1]
    assert results[0].count(b'"name": "Velma"') > 60
    with Cast.open(cast) as opened:  # the cast finds by the views file what the results say
        assert {number: match.name for number, match in opened.names(out / "1.mkv.jsonl").items()} == {NUMBER: "Velma"}


def test_a_cast_of_another_network_is_refused(
    clip: str, cast: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EMBEDDER, "digest", "cd" * 8)
    sink = FormatSink(tmp_path / "a.jsonl", "jsonl")
    recorder = Recorder(
        source=clip, settings=RecordingSettings(characters=CONFIG, cast=cast), engine=SquareFinder(), sinks=[sink]
    )
    with pytest.raises(CastError, match="and this run uses scripted 3"):
        recorder.record()
