"""What counts as a video, what it is called, and what cannot be read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from acfd_stream.archive import find as rooms
from acfd_stream.archive.find import Findings, find
from acfd_stream.errors import BackendUnavailable, ConfigError, MediaError


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A folder as people have them."""
    library = tmp_path / "library"
    for name in (
        *("b.mkv", "a.MP4", "readme.txt", "poster.jpg", ".hidden.mkv", ".trash/old.mkv", "@eaDir/b.mkv/x.mp4"),
        *("show/s1/e 1.webm", "show/s1/e 1.srt", "lost+found/x.mkv", "b.mkv.overlay.mp4", "b.mkv.proxy.mp4"),
    ):
        (library / name).parent.mkdir(parents=True, exist_ok=True)
        (library / name).write_bytes(b"x")
    return library


def names(findings: Findings) -> list[str]:
    return [video.name for video in findings.videos]


def test_a_folder_gives_its_videos_by_the_way_below_it(library: Path, tmp_path: Path) -> None:
    findings = find([str(library)], tmp_path / "out")
    assert names(findings) == ["a.MP4", "b.mkv", "show/s1/e 1.webm"]
    assert findings.videos[2].source == str(library / "show/s1/e 1.webm")
    assert findings.videos[2].size == 1
    assert findings.faults == []


def test_the_source_is_named_as_the_place_was_given(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert [video.source for video in find(["library/show"], tmp_path / "out").videos] == ["library/show/s1/e 1.webm"]


def test_results_are_no_videos(library: Path) -> None:
    for inside in (library, library / "show"):
        (inside / "out").mkdir(exist_ok=True)
        (inside / "out" / "b.mkv.overlay.mp4").touch()
        (inside / "out" / "x.mp4").touch()
        assert not any("out/" in name for name in names(find([str(library)], inside / "out")) if inside is not library)
        (inside / "out" / "x.mp4").unlink()
        (inside / "out" / "b.mkv.overlay.mp4").unlink()


def test_results_may_lie_beside_the_videos(library: Path) -> None:
    assert names(find([str(library)], library)) == ["a.MP4", "b.mkv", "show/s1/e 1.webm"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("library/*", ["a.MP4", "b.mkv"]),
        ("library/**/*", ["a.MP4", "b.mkv", "show/s1/e 1.webm"]),
        ("library/*.txt", ["readme.txt"]),
        ("library/sh*/*/*.webm", ["show/s1/e 1.webm"]),
        ("library/readme.txt", ["readme.txt"]),
        ("library/show/s1", ["e 1.webm"]),
    ],
)
def test_patterns_and_files(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str, found: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert names(find([pattern], tmp_path / "out")) == found


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "[a].mkv").touch()
    assert names(find([str(tmp_path / "[a].mkv")], tmp_path / "out")) == ["[a].mkv"]


def test_several_places(library: Path, tmp_path: Path) -> None:
    places = [str(library / "show"), str(library / "a.MP4")]
    assert names(find(places, tmp_path / "out")) == ["a.MP4", "s1/e 1.webm"]
    (library / "show" / "a.MP4").touch()
    with pytest.raises(ConfigError, match=r"would both be a.MP4 in --out; name the folder above both"):
        find(places, tmp_path / "out")
    twice = [str(library / "a.MP4")] * 2
    assert names(find(twice, tmp_path / "out")) == ["a.MP4"]


def test_links_are_followed_and_circles_are_not(library: Path, tmp_path: Path) -> None:
    (library / "again").symlink_to(library)
    (library / "film.mkv").symlink_to(library / "b.mkv")
    (library / "broken.mkv").symlink_to(library / "nothing")
    findings = find([str(library)], tmp_path / "out")
    assert names(findings) == ["a.MP4", "b.mkv", "film.mkv", "show/s1/e 1.webm"]
    assert [(fault.name, fault.reason) for fault in findings.faults] == [
        ("broken.mkv", f"{library}/broken.mkv: is not there any more, or a link to nothing; check it")
    ]


def test_a_folder_that_cannot_be_read_is_a_fault_and_no_end(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.scandir

    def scandir(path: str) -> object:
        if str(path).endswith("s1"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(rooms.os, "scandir", scandir)
    findings = find([str(library)], tmp_path / "out")
    assert names(findings) == ["a.MP4", "b.mkv"]
    assert "show/s1: permission denied" in findings.faults[0].reason
    with pytest.raises(MediaError, match="permission denied"):
        find([str(library / "show" / "s1")], tmp_path / "out")


def test_pipes_are_left_out_of_folders_and_refused_by_name(library: Path, tmp_path: Path) -> None:
    os.mkfifo(library / "pipe.mkv")
    assert "pipe.mkv" not in names(find([str(library)], tmp_path / "out"))
    (fault,) = find([str(library / "pipe.mkv")], tmp_path / "out").faults
    assert "cannot be read twice; copy it into a file" in fault.reason


def test_names_that_no_result_can_have_are_faults(library: Path, tmp_path: Path) -> None:
    (library / ("x" * 240 + ".mkv")).touch()
    faults = find([str(library)], tmp_path / "out").faults
    assert len(faults) == 1
    assert faults[0].reason.endswith("x.mkv: the name is too long for its results; shorten it")


def test_names_that_are_no_text_are_kept(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.mkv")).touch()
    assert names(find([str(tmp_path)], tmp_path / "out")) == [os.fsdecode(b"caf\xe9.mkv")]


def test_nothing_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="nowhere: no such file or folder"):
        find([str(tmp_path / "nowhere")], tmp_path / "out")
    (tmp_path / "text.txt").touch()
    with pytest.raises(MediaError, match="has no video; name another folder"):
        find([str(tmp_path)], tmp_path / "out")


@pytest.fixture
def bucket() -> str:
    """A remote folder, in fsspec's memory."""
    import fsspec

    system = fsspec.filesystem("memory")
    system.store.clear()
    for name in ("shows/b.mkv", "shows/s1/e 1.mp4", "shows/s1/notes.txt", "shows/.x.mkv"):
        system.pipe(f"/{name}", name.encode())
    return "memory://shows"


def test_remote_folders_and_patterns(bucket: str, tmp_path: Path) -> None:
    findings = find([bucket], tmp_path / "out")
    assert names(findings) == ["b.mkv", "s1/e 1.mp4"]
    assert [video.size for video in findings.videos] == [11, 16]
    assert names(find([f"{bucket}/*/*.mp4"], tmp_path / "out")) == ["s1/e 1.mp4"]
    assert names(find([f"{bucket}/s1/notes.txt"], tmp_path / "out")) == ["notes.txt"]
    with pytest.raises(MediaError, match="memory://none: no file there"):
        find(["memory://none"], tmp_path / "out")


def test_urls_that_the_decoder_reads_are_taken_as_they_are(tmp_path: Path) -> None:
    findings = find(["http://me:secret@host/a/My%20Film.mp4?token=x"], tmp_path / "out")
    assert names(findings) == ["My Film.mp4"]


def test_a_store_that_nobody_knows_is_said(tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailable, match=r"zz9:// URLs are not known"):
        find(["zz9://bucket/a.mkv"], tmp_path / "out")
