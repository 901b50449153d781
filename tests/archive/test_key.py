"""A key changes with whatever changes results, and with nothing else."""

from __future__ import annotations

import http.server
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from acfd_stream.archive import key
from acfd_stream.archive.find import Video
from acfd_stream.archive.key import Settings, episode_key, known_content, read_content
from acfd_stream.characters import CharacterConfig
from acfd_stream.config import DetectConfig, ShotConfig, TrackConfig, VideoConfig
from acfd_stream.errors import MediaError, OverloadedError
from acfd_stream.recording import remote
from acfd_stream.video.origin import FileStamp, stamp_of


class Memory(dict[tuple[str, FileStamp], str]):
    """Digests in memory."""

    def digest_of(self, path: str, stamp: FileStamp) -> str | None:
        return self.get((path, stamp))

    def keep_digest(self, path: str, stamp: FileStamp, digest: str) -> None:
        self[path, stamp] = digest


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    model = tmp_path / "model.onnx"
    model.write_bytes(b"weights")
    return Settings(model, DetectConfig(), TrackConfig(), ShotConfig(), VideoConfig())


def video_of(path: Path, content: bytes = b"film") -> Video:
    path.write_bytes(content)
    return Video(str(path), path.name, len(content), stamp_of(str(path)))


def test_settings_that_change_results_change_the_key(settings: Settings, tmp_path: Path) -> None:
    other = tmp_path / "other.onnx"
    other.write_bytes(b"weights!")
    changed = [
        replace(settings, model=other),
        replace(settings, detect=DetectConfig(size=640)),
        replace(settings, detect=DetectConfig(scales=(480,))),
        replace(settings, track=TrackConfig(max_gap_frames=3)),
        replace(settings, video=VideoConfig(start_seconds=1.0)),
        replace(settings, video=VideoConfig(end_seconds=1.0)),
        replace(settings, characters=CharacterConfig(), character_model=other),
        replace(settings, characters=CharacterConfig(), character_model=settings.model),
        replace(settings, characters=CharacterConfig(views=3), character_model=other),
    ]
    digests = [settings.digest(), *(each.digest() for each in changed)]
    assert len(set(digests)) == len(digests)


def test_settings_that_change_no_result_do_not(settings: Settings, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere.onnx"
    copy.write_bytes(b"weights")
    same = [
        replace(settings, model=copy),
        replace(settings, detect=DetectConfig(batch=16, threads=7)),
        replace(settings, video=VideoConfig(threads=3, queue_bytes=2**21)),
    ]
    assert {each.digest() for each in same} == {settings.digest()}
    named = [
        replace(settings, characters=CharacterConfig(model=name), character_model=path)
        for name, path in (("acfd-id", settings.model), (str(copy), copy))
    ]
    assert named[0].digest() == named[1].digest()


def test_a_rise_of_the_version_changes_every_key(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    before = settings.digest()
    monkeypatch.setattr(key, "RESULTS_VERSION", key.RESULTS_VERSION + 1)
    assert settings.digest() != before


def test_the_same_content_has_one_key_wherever_it_lies(tmp_path: Path) -> None:
    one, other = video_of(tmp_path / "a.mkv"), video_of(tmp_path / "b.mp4")
    third = video_of(tmp_path / "c.mkv", b"Film")
    keys = [episode_key(read_content(video)[0], "settings") for video in (one, other, third)]
    assert keys[0] == keys[1] != keys[2]
    assert episode_key(read_content(one)[0], "others") != keys[0]


def test_a_digest_is_remembered_until_the_file_changes(tmp_path: Path) -> None:
    video, digests = video_of(tmp_path / "a.mkv"), Memory()
    os.utime(tmp_path / "a.mkv", (1, 1))
    video = replace(video, stamp=stamp_of(video.source))
    assert known_content(video, digests) is None
    content, stamp, may_remember = read_content(video)
    assert may_remember
    assert stamp is not None
    digests.keep_digest(video.source, stamp, content)
    assert known_content(video, digests) == content
    (tmp_path / "a.mkv").write_bytes(b"Film")
    assert known_content(replace(video, stamp=stamp_of(video.source)), digests) is None


def test_a_file_that_was_written_just_now_is_read_again_the_next_time(tmp_path: Path) -> None:
    assert read_content(video_of(tmp_path / "a.mkv"))[2] is False


def test_a_file_that_is_being_written_waits(tmp_path: Path) -> None:
    video = video_of(tmp_path / "a.mkv")

    def write_on() -> bool:
        with open(tmp_path / "a.mkv", "ab") as file:
            file.write(b"more")
        return False

    with pytest.raises(OverloadedError, match="another program is writing to it"):
        read_content(video, write_on)
    with pytest.raises(OverloadedError, match="reading was stopped"):
        read_content(video, lambda: True)


def test_a_file_that_is_gone_is_its_own_fault(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="is not there any more"):
        read_content(Video(str(tmp_path / "none.mkv"), "none.mkv", None))


def test_a_remote_file_goes_by_what_its_store_says(tmp_path: Path) -> None:
    import fsspec

    system = fsspec.filesystem("memory")
    system.pipe("/key/a.mkv", b"film")
    video = Video("memory://key/a.mkv", "a.mkv", 4)
    first, stamp, may_remember = read_content(video)
    assert (stamp, may_remember) == (None, False)
    assert read_content(video)[0] == first
    system.pipe("/key/a.mkv", b"another film")
    assert read_content(video)[0] != first
    system.rm("/key/a.mkv")
    with pytest.raises(MediaError, match=r"memory://key/a\.mkv: no such file"):
        read_content(video)


class Heads(http.server.BaseHTTPRequestHandler):
    """Answers HEAD with a tag."""

    tag = "one"

    def do_HEAD(self) -> None:
        self.send_response(200 if self.path.startswith("/film") else 404 if self.path == "/none" else 503)
        self.send_header("ETag", self.tag)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def web() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Heads) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_url_goes_by_the_validators_of_its_server(web: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = remote.remote_version(f"{web}/film?token=a")
    assert "token" not in first
    assert remote.remote_version(f"{web}/film?token=b") == first
    monkeypatch.setattr(Heads, "tag", "two")
    assert remote.remote_version(f"{web}/film") != first
    with pytest.raises(MediaError, match="/none: the server says 404"):
        remote.remote_version(f"{web}/none")
    with pytest.raises(OverloadedError, match="/busy: the server says 503"):
        remote.remote_version(f"{web}/busy")
