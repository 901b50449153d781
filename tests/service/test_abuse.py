"""A bad hour in small: a server in a process of its own, and clients that are rude, broken, killed or late.

``benchmarks/soak.py`` plays the same at full size.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest

from benchmarks.abuse import fuzz, scenes
from benchmarks.abuse.arena import Arena, serving
from benchmarks.abuse.play import Ending, channel_to, play, stream_of
from tests.service.rig import draw, write_clip

FRAMES = 60
SETTINGS = """
listen = "127.0.0.1:0"
metrics = "127.0.0.1:0"
model = "{model}"
device = "cpu"
drain_seconds = 0.0
[detect]
size = 128
threads = 1
[scheduler]
warm_sizes = [[96, 128]]
[capacity]
cores = 64
[limits]
memory_share = 1.0
[answers]
resume_seconds = 0.2
results = 4
"""


@pytest.fixture(scope="module")
def settings(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("serve") / "serve.toml"
    place.write_text(SETTINGS.format(model=tiny_model))
    return place


@pytest.fixture(scope="module")
def arena(settings: Path) -> Iterator[Arena]:
    with serving(settings) as (running, _):
        yield running


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Longer than any buffer between client and server holds."""
    return write_clip(tmp_path_factory.mktemp("film") / "film.mkv", frames=1000)


@pytest.fixture(scope="module")
def whole(arena: Arena, film: Path) -> Ending:
    """The film's results, told in one go."""
    with channel_to(arena.address) as channel:
        ending = play(channel, stream_of(film, mode=1))
    assert (ending.code, len(ending.frames), ending.end.is_complete) == ("OK", 1000, True)
    return ending


def test_odd_files_end_as_the_decoder_says_and_leave_nothing(arena: Arena, shared: Path) -> None:
    files = [shared / "videos" / "odd" / name for name in SMALL]
    endings = scenes.odd_files(arena, files)
    wanted = {file.name: scenes.expected(file) for file in files}
    assert {name: scenes.told(ending) for name, ending in endings.items()} == wanted
    assert {code for code, *_ in wanted.values()} == {"OK", "INVALID_ARGUMENT"}
    assert arena.await_rest() == {}
    assert arena.is_serving()


SMALL = (
    "ax_invalid-bitstream.webm",
    "ax_sample_with_invalid_nalu.mp4",
    "bbb_432_433_moviepy.webm",
    "jetplay_error.mp4",
    "lpms_zero-frame.ts",
    "moviepy_zero.webm",
    "pigs_in_a_polka.gif",
    "popcorn_trailer.ogv",
)


def test_mutated_requests_and_streams_get_a_status_in_time(arena: Arena, clip: Path) -> None:
    with channel_to(arena.address) as channel:
        token = play(channel, stream_of(clip, mode=1)).token
    picture = draw(0, (96, 128), FRAMES)
    pictures = [cv2.imencode(suffix, picture)[1].tobytes() for suffix in (".png", ".jpg", ".webp")]
    shots = fuzz.fuzz(arena.address, fuzz.Ammunition([clip.read_bytes()], pictures, [token]), count=80, seed=0)
    assert [shot for shot in shots if shot.is_fault] == []
    assert {shot.kind for shot in shots} == set(fuzz.KINDS)
    assert arena.await_rest() == {}
    assert arena.is_serving()


def test_streams_left_in_every_way_leave_no_thread_and_no_file(arena: Arena, clip: Path) -> None:
    media = [clip.read_bytes()]
    scenes.soak(arena, media, count=16, seed=1)
    before = arena.settled_usage()
    scenes.soak(arena, media, count=32, seed=2)
    assert arena.await_rest() == {}
    after = arena.settled_usage()
    assert after.files <= before.files
    assert after.threads <= before.threads + 4  # calls have threads that stay for the next ones
    assert arena.is_serving()


def test_a_killed_client_is_forgotten(arena: Arena, film: Path) -> None:
    assert scenes.killed_client(arena, film)
    assert arena.is_serving()


def test_a_deadline_ends_its_stream_and_leaves_nothing(arena: Arena, film: Path) -> None:
    ending = scenes.expired(arena, film.read_bytes(), seconds=0.3)
    assert ending.code == "DEADLINE_EXCEEDED"
    assert arena.await_rest() == {}


def test_a_slow_reader_stops_nobody_else(arena: Arena, clip: Path, film: Path, whole: Ending) -> None:
    slow, other, seconds = scenes.slow_reader(arena, film.read_bytes(), clip.read_bytes())
    assert (other.code, len(other.frames)) == ("OK", FRAMES)
    assert seconds < 20.0
    assert scenes.faces_of(slow.frames) == scenes.faces_of(whole.frames)
    assert arena.await_rest() == {}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["told to stop", "killed"])
def test_a_stream_goes_on_at_the_next_server_with_the_same_ids(
    settings: Path, film: Path, whole: Ending, number: signal.Signals
) -> None:
    media = film.read_bytes()
    with serving(settings) as (first, process):
        before = scenes.broken_off(first.address, media, first.pid, number, after_frames=200)
        code = process.wait(30)
    assert code == (0 if number is signal.SIGTERM else -signal.SIGKILL)
    assert before.code == "UNAVAILABLE"
    assert 200 <= len(before.frames) < 1000
    with serving(settings) as (second, _):
        after = scenes.resumed(second.address, media, before)
    assert after.code == "OK"
    if number is signal.SIGTERM:
        assert after.frames[0].index == len(before.frames)  # nothing was lost, nothing comes twice
    assert scenes.faces_of(scenes.joined(before, after)) == scenes.faces_of(whole.frames)


def test_a_server_that_is_told_twice_to_stop_stops_at_once(settings: Path) -> None:
    with serving(settings) as (_, process):
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        try:
            assert process.wait(15) >= 0
        except subprocess.TimeoutExpired:
            pytest.fail("the server did not stop")
