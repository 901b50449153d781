"""``acfd-stream cast``: from results to names, and back into results."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from acfd_stream.characters import Character
from acfd_stream.cli import main
from acfd_stream.identity.cast.cast import Cast
from acfd_stream.identity.views_file import ViewsHeader
from acfd_stream.outputs import ResultEnd, open_writer, read_results
from acfd_stream.types import Face, FrameResult
from tests.identity.made_up import crop_of, write_views
from tests.outputs.made_up import HEADER

VELMA, FRED, SHAGGY, DAPHNE = range(1, 5)
BASE = Fraction(1, 24)


def write_result(path: Path, identities: list[int], *, seed: int = 0) -> Path:
    """A result whose tracks are characters of the same numbers and of these identities; 1 and 2 share a frame."""
    faces = tuple(Face(number, (0.0, 0.0, 9.0, 9.0), 0.5, character=number) for number in range(1, len(identities) + 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = open_writer(path, "jsonl", replace(HEADER, source=path.with_suffix("").name))
    shown = [faces[:2], *((face,) for face in faces)]
    for index, seen in enumerate(shown):
        writer.write(FrameResult(index, index, BASE, float(index * BASE), seen))
    writer.close(ResultEnd(len(faces), characters=tuple(Character(f.track_id, (f.track_id,), 0.75) for f in faces)))
    write_views(
        path.with_name(path.name.removesuffix(".jsonl") + ".views.ndjson"), identities, together=[(1, 2)], seed=seed
    )
    return path


def names_in(path: Path) -> dict[int, str]:
    """Character → name, where every face agrees with the closing line."""
    results = read_results(path)
    names = {each.number: each.name for each in results.end.characters}
    in_lines = [face for line in path.read_text().splitlines()[1:-1] for face in json.loads(line)["faces"]]
    assert all(face.get("name", "") == names[face["character"]] for face in in_lines)
    return names


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two results in ``out`` and their cast."""
    monkeypatch.chdir(tmp_path)
    write_result(tmp_path / "out/e1.mp4.jsonl", [VELMA, FRED], seed=1)
    write_result(tmp_path / "out/e2.mp4.jsonl", [SHAGGY, VELMA, FRED], seed=2)
    assert main(["cast", "build", "out", "--to", "cast.db"]) == 0
    return tmp_path


def test_names_get_into_results(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cast", "build", "out", "--to", "again.db"]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "out/e1.mp4.views.ndjson: 2 characters, 2 new",
        "out/e2.mp4.views.ndjson: 3 characters, 1 new",
        "again.db: 3 members",
    ]
    before = (folder / "out/e2.mp4.jsonl").read_bytes()
    assert main(["cast", "name", "cast.db", "1", "Velma Dinkley"]) == 0
    assert main(["cast", "apply", "cast.db", "out"]) == 0
    assert capsys.readouterr().err == "2 results: 2 with other names now\n"
    assert names_in(folder / "out/e1.mp4.jsonl") == {1: "Velma Dinkley", 2: ""}
    assert names_in(folder / "out/e2.mp4.jsonl") == {1: "", 2: "Velma Dinkley", 3: ""}
    assert main(["cast", "apply", "cast.db", "out/e1.mp4.jsonl", "out/e2.mp4.views.ndjson"]) == 0
    assert capsys.readouterr().err == "2 results: 0 with other names now\n"
    assert main(["cast", "name", "cast.db", "Velma Dinkley", ""]) == 0
    assert main(["cast", "apply", "cast.db", "out", "--quiet"]) == 0
    assert (folder / "out/e2.mp4.jsonl").read_bytes() == before  # all else in it has stayed
    assert sorted(path.name for path in (folder / "out").iterdir()) == [
        *("e1.mp4.jsonl", "e1.mp4.views.ndjson", "e2.mp4.jsonl", "e2.mp4.views.ndjson"),
    ]


def test_a_views_file_that_has_another_video_now_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cast", "name", "cast.db", "3", "Shaggy"]) == 0
    write_result(folder / "out/e2.mp4.jsonl", [DAPHNE], seed=3)
    capsys.readouterr()
    assert main(["cast", "build", "out", "--to", "cast.db"]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "out/e1.mp4.views.ndjson: is in the cast already",
        "out/e2.mp4.views.ndjson: 1 character, 1 new; replaces the 3 that the cast had from this file",
        "cast.db: 4 members",
        "acfd-stream: warning: cast.db: no pictures are left of Shaggy: those came from files that have changed; "
        "'acfd-stream cast undo cast.db' takes this back",
    ]
    assert main(["cast", "undo", "cast.db"]) == 0
    with Cast.open(folder / "cast.db") as cast:
        assert [view.source for view in cast.views(cast.find("Shaggy"))] == ["out/e2.mp4.views.ndjson"] * 5


def test_a_result_that_was_never_added_gets_names_by_looks(folder: Path) -> None:
    write_result(folder / "new/e3.jsonl", [DAPHNE, FRED], seed=3)
    assert main(["cast", "name", "cast.db", "2", "Fred"]) == 0
    assert main(["cast", "apply", "cast.db", "new/e3.jsonl"]) == 0
    assert names_in(folder / "new/e3.jsonl") == {1: "", 2: "Fred"}


def test_views_of_another_run_give_no_names(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    views, result = folder / "out/e1.mp4.views.ndjson", folder / "out/e1.mp4.jsonl"
    write_result(result, [VELMA], seed=1)
    write_views(views, [VELMA, FRED], together=[(1, 2)], seed=1)
    before = result.read_bytes()
    assert main(["cast", "name", "cast.db", "1", "Velma"]) == 0
    capsys.readouterr()
    assert main(["cast", "apply", "cast.db", "out"]) == 1
    wrong, said = capsys.readouterr().err.splitlines()
    assert "out/e1.mp4.views.ndjson: its views are of another run than out/e1.mp4.jsonl" in wrong
    assert said == "2 results: 1 with other names now"
    assert result.read_bytes() == before


def test_a_result_of_another_network_does_not_stop_the_others(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_result(folder / "out/e0.jsonl", [VELMA])
    write_views(folder / "out/e0.views.ndjson", [VELMA], header=ViewsHeader("acfd-id", "0.1", "cd" * 32))
    assert main(["cast", "name", "cast.db", "1", "Velma"]) == 0
    capsys.readouterr()
    assert main(["cast", "apply", "cast.db", "out"]) == 1
    wrong, said = capsys.readouterr().err.splitlines()
    assert "out/e0.views.ndjson has those of acfd-id 0.1" in wrong
    assert said == "3 results: 2 with other names now"


def test_members_are_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["cast", "name", "cast.db", "2", "Fréd [bold]"])
    capsys.readouterr()
    assert main(["cast", "show", "cast.db"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert rows[0] == ["member", "name", "videos", "tracks", "pictures"]
    assert rows[2:] == [["1", "–", "2", "2", "10"], ["2", "Fréd", "[bold]", "2", "2", "10"], ["3", "–", "1", "1", "5"]]
    assert main(["cast", "show", "cast.db", "Fréd [bold]"]) == 0
    assert "out/e2.mp4.views.ndjson" in capsys.readouterr().out
    assert main(["cast", "show", "cast.db", "2", "--json"]) == 0
    (values,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert values["appearances"][1] == {"source": "out/e2.mp4.views.ndjson", "character": 3, "tracks": 1}
    assert len(values["views"]) == 10
    assert main(["cast", "show", "cast.db", "--json"]) == 0
    assert [json.loads(line)["member"] for line in capsys.readouterr().out.splitlines()] == [1, 2, 3]


def test_members_are_merged_split_forgotten_and_undone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    for call, said in (
        (["merge", "cast.db", "1", "2"], "were in one frame of out/e1.mp4.views.ndjson"),
        (["forget", "cast.db", "9"], "has no member 9"),
        (["name", "cast.db", "Nobody", "X"], "has no member 'Nobody'"),
        (["name", "cast.db", "1"], "name takes MEMBER and NAME, or --from NAMES.json"),
        (["split", "cast.db", "1", "--views", "1,x"], "--views must be whole numbers"),
        (["show", "none.db"], "there is no such cast"),
        (["apply", "cast.db", "none.jsonl"], "there is no such views file"),
    ):
        assert main(["cast", *call]) in (1, 2)
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
    assert main(["cast", "split", "cast.db", "1", "--from", "out/e2.mp4.jsonl"]) == 0
    assert capsys.readouterr().out == "4\n"
    assert main(["cast", "merge", "cast.db", "1", "4"]) == 0
    assert main(["cast", "forget", "cast.db", "1", "2"]) == 0
    for what in ("forget members 1, 2", "merge members 4 into 1", "split member 1", "add 2 videos"):
        assert main(["cast", "undo", "cast.db"]) == 0
        assert capsys.readouterr().err == f"undone: {what}\n"
    assert main(["cast", "undo", "cast.db"]) == 2
    assert "there is no change to undo" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["-o", "--views", "--report", "--overlay"])
def test_a_cast_is_never_written_over(option: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "link.mp4").symlink_to("cast.db")
    before = (folder / "cast.db").read_bytes()
    capsys.readouterr()
    assert main(["track", "any.mkv", "--cast", "cast.db", option, "link.mp4", "--overwrite"]) == 2
    assert "link.mp4 would write over the cast, link.mp4; choose another path\n" in capsys.readouterr().err
    assert (folder / "cast.db").read_bytes() == before


def test_a_damaged_cast_is_refused_in_one_line_and_kept(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "cast.db"
    path.write_bytes(path.read_bytes()[:5000])
    damaged, results = path.read_bytes(), (folder / "out/e1.mp4.jsonl").read_bytes()
    capsys.readouterr()
    for call in (
        *(["cast", name, "cast.db"] for name in ("show", "undo", "rebuild")),
        ["cast", "name", "cast.db", "1", "Velma"],
        ["cast", "merge", "cast.db", "1", "2"],
        ["cast", "build", "out", "--to", "cast.db"],
        ["cast", "apply", "cast.db", "out"],
        ["track", "any.mkv", "--cast", "cast.db"],
    ):
        assert main(call) == 1, call
        error = capsys.readouterr().err
        assert error.startswith("acfd-stream: cast.db: the cast is damaged")
        assert error.count("\n") == 1
    assert path.read_bytes() == damaged
    assert (folder / "out/e1.mp4.jsonl").read_bytes() == results


def test_a_cast_is_exported_as_plain_files(folder: Path) -> None:
    main(["cast", "name", "cast.db", "3", "Shaggy"])
    assert main(["cast", "export", "cast.db", "plain"]) == 0
    values = json.loads((folder / "plain/cast.json").read_text())
    assert [member["name"] for member in values["members"]] == ["", "", "Shaggy"]
    assert values["embedding"]["model"] == "acfd-id"
    view = values["members"][2]["views"][0]
    assert (folder / "plain" / view["crop"]).read_bytes() == crop_of(SHAGGY)
    assert main(["cast", "export", "cast.db", "plain"]) == 1  # it is there already
    assert main(["cast", "export", "cast.db", "out"]) == 1
    assert sorted(path.name for path in folder.iterdir()) == ["cast.db", "out", "plain"]


def test_a_cast_is_exported_to_folders_without_a_name(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    capsys.readouterr()
    for place in (".", "out/..", "/"):
        assert main(["cast", "export", "cast.db", place]) == 1
        assert capsys.readouterr().err == f"acfd-stream: {Path(place)}: is there already; choose another folder\n"
    (folder / "empty").mkdir()
    monkeypatch.chdir(folder / "empty")
    assert main(["cast", "export", "../cast.db", "."]) == 0
    assert sorted(path.name for path in (folder / "empty").iterdir()) == ["cast.json", "crops"]


def names_file(folder: Path, **values: object) -> str:
    path = folder / "e2.names.json"
    path.write_text(json.dumps({"type": "names", "version": 1, "result": "e2.mp4", **values}))
    return str(path)


def test_names_from_the_page_of_a_report(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cast", "split", "cast.db", "1", "--from", "out/e2.mp4.views.ndjson"]) == 0
    path = names_file(folder, names={"1": "Shaggy"}, merges=[[2, 3], [1, 2]])
    assert main(["cast", "name", "cast.db", "--from", path]) == 2
    assert "were in one frame" in capsys.readouterr().err
    with Cast.open(folder / "cast.db") as cast:
        assert [member.name for member in cast.members()] == ["", "", "", ""]  # all of it was refused
    path = names_file(folder, names={"1": "Shaggy", "2": "Fred"}, merges=[[2, 3]])
    assert main(["cast", "name", "cast.db", "--from", path]) == 0
    assert capsys.readouterr().err.splitlines() == ["merged member 2 into 4", "member 3 is Shaggy", "member 4 is Fred"]
    assert main(["cast", "undo", "cast.db"]) == 0  # all of it is one change
    with Cast.open(folder / "cast.db") as cast:
        assert [member.name for member in cast.members()] == ["", "", "", ""]


@pytest.mark.parametrize("name", ["e2.mp4.jsonl", "e2.mp4.views.ndjson"])
def test_the_result_of_a_names_file_is_said_by_either_of_its_files(folder: Path, name: str) -> None:
    path = names_file(folder, names={"1": "Shaggy"})
    assert main(["cast", "name", "cast.db", "--from", path, "--result", f"out/{name}"]) == 0
    with Cast.open(folder / "cast.db") as cast:
        assert [member.name for member in cast.members()] == ["", "", "Shaggy"]


def test_names_of_a_run_that_the_cast_has_not_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result, before = folder / "out/e2.mp4.jsonl", (folder / "cast.db").read_bytes()
    views = result.with_name("e2.mp4.views.ndjson").read_bytes()
    for call in (["--result", str(result)], []):
        write_result(result, [FRED, SHAGGY], seed=2)  # tracked again, and not added
        assert main(["cast", "name", "cast.db", "--from", names_file(folder, names={"1": "Fred"}), *call]) == 2
        assert "the cast has another run of " in capsys.readouterr().err
        result.with_name("e2.mp4.views.ndjson").write_bytes(views)  # tracked again without --views
        assert main(["cast", "name", "cast.db", "--from", names_file(folder, names={"1": "Fred"}), *call]) == 1
        assert "e2.mp4.views.ndjson: its views are of another run than " in capsys.readouterr().err
    assert (folder / "cast.db").read_bytes() == before


REFUSED = (
    ({"names": {"1": "A"}, "characters": "0" * 16}, 2, "the names are of another run of e2.mp4"),
    ({"names": {"1": "A"}, "result": "other.mp4"}, 2, "the names are of another run of other.mp4"),
    ({"names": {"7": "A"}}, 2, "character 7 is no member of the cast"),
    ({"names": {"1": "12"}}, 2, "name must be"),
    ({"version": 2}, 1, "is no file of names of version 1"),
    ({"names": {"x": "A"}}, 1, "is no file of names"),
    ({"names": {"1": 3}}, 1, "is no file of names"),
    ({"merges": [[1]]}, 1, "is no file of names"),
    ({"merges": [[1, "2"]]}, 1, "is no file of names"),
    ({"more": 1}, 1, "is no file of names"),
)


def test_a_names_file_that_does_not_fit_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for values, code, said in REFUSED:
        path = names_file(folder, **values)
        capsys.readouterr()
        assert main(["cast", "name", "cast.db", "--from", path]) == code
        assert said in capsys.readouterr().err
    with Cast.open(folder / "cast.db") as cast:
        assert cast.undo() == "add 2 videos"
