"""A cast of another embedding network: refused by all that would compare it, and usable again by its own pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from acfd_stream.characters import CharacterConfig
from acfd_stream.cli import main
from acfd_stream.config import DetectConfig
from acfd_stream.identity.cast.cast import Cast
from acfd_stream.identity.spec import find_embedder, read_embedder_spec
from acfd_stream.networks.precision import digest
from acfd_stream.outputs import read_results
from acfd_stream.recording.record import Recorder
from acfd_stream.recording.sinks import FormatSink
from acfd_stream.recording.task import RecordingSettings
from acfd_stream.recording.views import ViewsSink
from tests.cli.drawn_scenes import track, write_clip

SHIPPED = find_embedder("acfd-id")
NETWORK = f"acfd-id {read_embedder_spec(SHIPPED).version}"


@pytest.fixture
def clip(tiny_model: Path, tiny_embedder: Path, tmp_path: Path) -> Path:
    """A clip. ``old`` has its results with an older network, ``cast.db`` their cast; its one member is Velma."""
    clip = write_clip(tmp_path / "clip.mkv")
    (tmp_path / "old").mkdir()
    views = ViewsSink(tmp_path / "old" / "clip.views.ndjson")
    Recorder(
        source=str(clip),
        settings=RecordingSettings(
            model=str(tiny_model), detect=DetectConfig(size=128), characters=CharacterConfig(model=str(tiny_embedder))
        ),
        sinks=[FormatSink(tmp_path / "old" / "clip.jsonl", "jsonl"), views],
        views=views.lines,
    ).record()
    with Cast.open(tmp_path / "cast.db", is_new=True) as cast:
        cast.build([tmp_path / "old"])
        cast.name(1, "Velma")
    return clip


def names(result: Path) -> list[str]:
    return [each.name for each in read_results(result).end.characters]


def test_it_is_refused_until_it_is_rebuilt(
    clip: Path, tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    cast = str(tmp_path / "cast.db")
    new = track(clip, tiny_model, "--views", str(clip.with_suffix(".views.ndjson")))
    before, kept = new.read_bytes(), (tmp_path / "cast.db").read_bytes()
    quick = ["--model", str(tiny_model), "--size", "128", "--threads", "1", "--quiet"]
    tracking = ["track", str(clip), "-o", str(tmp_path / "out.jsonl"), *quick]
    for call in (
        [*tracking, "--cast", cast],
        ["archive", "run", str(clip), "--out", str(tmp_path / "out"), "--model", str(tiny_model), "--cast", cast],
        ["cast", "build", str(new), "--to", cast],
        ["cast", "apply", cast, str(new), "--quiet"],
    ):
        assert main(call) == 1, call
        error = capfd.readouterr().err
        assert error.count("\n") == 1
        assert f"cast.db: has embeddings of tiny-id 1 ({digest_in(tmp_path / 'cast.db')}), and " in error
        assert f"{NETWORK} ({digest(SHIPPED)[:12]})" in error
        assert f"'acfd-stream cast rebuild {cast}'" in error
    assert new.read_bytes() == before
    assert (tmp_path / "cast.db").read_bytes() == kept
    assert main(["cast", "rebuild", cast]) == 0
    assert main(["cast", "apply", cast, str(new), "--quiet"]) == 0
    assert names(new) == ["Velma"]
    assert main([*tracking, "--cast", cast]) == 0
    assert (tmp_path / "out.jsonl").read_bytes() == new.read_bytes()
    capfd.readouterr()
    assert main(["cast", "build", str(tmp_path / "old"), "--to", cast]) == 0  # the cast knows this video
    assert main(["cast", "undo", cast]) == 0
    assert "rebuild" in capfd.readouterr().err
    assert main([*tracking, "--cast", cast]) == 1


def digest_in(cast: Path) -> str:
    with Cast.open(cast) as opened:
        return opened.about()["digest"][:12]
