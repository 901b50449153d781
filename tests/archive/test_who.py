"""Who is in which video of an archive, as its status says it."""

from __future__ import annotations

from pathlib import Path

from acfd_stream.archive.manifest import Manifest
from acfd_stream.characters import Character
from acfd_stream.cli.archive.status import gather, lines
from acfd_stream.outputs import ResultEnd
from tests.archive.test_manifest import DONE, task_of
from tests.outputs.made_up import write_made_up

CHARACTERS = {
    "a.mkv": (Character(1, (1,), 1.0, "Velma"), Character(2, (2,), 1.0), Character(3, (3,), 1.0, "Fred")),
    "b.mkv": (Character(1, (1, 2), 1.0), Character(4, (3,), 1.0)),
    "c.mkv": (),
}


def test_the_list_of_all_videos_names_those_who_are_in_them(tmp_path: Path) -> None:
    names = (*CHARACTERS, "gone.mkv")
    with Manifest(tmp_path, is_new=True) as manifest:
        manifest.expect([(name, f"library/{name}", 100) for name in (*names, "waits.mkv")])
        for name in names:
            manifest.done(task_of(name), DONE, [], 1000)
    for name, characters in CHARACTERS.items():
        write_made_up(tmp_path / f"{name}.jsonl", "jsonl", 5, end=ResultEnd(3, characters=characters))
    facts = gather(tmp_path, lists_all=True)
    ends = {
        row["name"]: line.partition("; ")[2] for row, line in zip(facts["episodes"], lines(facts)[-5:], strict=True)
    }
    assert ends == {
        "a.mkv": "with Fred, Velma, 1 character without a name",
        "b.mkv": "with 2 characters",
        "c.mkv": "",
        "gone.mkv": "",
        "waits.mkv": "",
    }
    assert facts["episodes"][0]["characters"][0] == {"character": 1, "name": "Velma", "tracks": 1}
    assert "episodes" not in gather(tmp_path)
