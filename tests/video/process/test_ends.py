"""A decoder process ends alone, at once, and leaves nothing, however it ends."""

from __future__ import annotations

import gc
import itertools
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acfd_stream.config import VideoConfig
from acfd_stream.errors import DecoderError, DecoderMemoryError, MediaError
from acfd_stream.video import ByteStream, open_video
from acfd_stream.video.process import fork_server
from acfd_stream.video.process.channel import Channel
from acfd_stream.video.process.decoder import _EXIT_SECONDS, DecoderProcess
from acfd_stream.video.process.fork_server import FORK_SERVER
from acfd_stream.video.process.limits import DecoderLimits
from tests.video.conftest import Clip, write_clip
from tests.video.process.processes import PATIENCE, decoders, descriptors, eventually, flowing


@pytest.fixture(autouse=True)
def nothing_is_left() -> object:
    """After each test there is no process, and no descriptor more than before."""
    FORK_SERVER.start()
    gc.collect()
    before = descriptors()
    yield
    assert eventually(lambda: decoders() == [])
    assert eventually(lambda: (gc.collect(), descriptors() <= before)[1]), (before, descriptors())


class _SlowlyLeft(ByteStream):
    """Gives the decoder time to see the end of the bytes, before ``close`` goes on."""

    def leave(self) -> None:
        super().leave()
        time.sleep(1.0)


@pytest.fixture(scope="module")
def large_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("large"), Clip(size=(720, 1280)))


def test_a_killed_decoder_ends_its_video_and_no_other(large_clip: Path) -> None:
    failures: list[str] = []
    with closing(DecoderProcess(on_failure=failures.append).open(large_clip)) as video:
        first = next(iter(video))
        [killed] = decoders()
        with closing(DecoderProcess().open(large_clip)) as neighbour, open_video(large_clip) as here:
            os.kill(killed, signal.SIGKILL)
            with pytest.raises(DecoderError, match=f"{large_clip}: the decoder process ended by SIGKILL"):
                list(video)
            planes = [[plane.tobytes() for plane in frame.picture.planes] for frame in neighbour]
            assert planes == [[plane.tobytes() for plane in frame.picture.planes] for frame in here]
        assert not video.is_complete
        assert failures == ["crash"]
        assert first.picture.planes[0][8, 8] == first.picture.planes[0][700, 1200]  # still there


def test_a_stopped_decoder_ends_its_video_and_no_other(large_clip: Path) -> None:
    with closing(DecoderProcess().open(large_clip)) as video:
        next(iter(video))
        [stopped] = decoders()
        os.kill(stopped, signal.SIGSTOP)
        with closing(DecoderProcess().open(large_clip)) as neighbour:
            with pytest.raises(DecoderError, match="ended because a signal had stopped it for 5 s"):
                list(video)
            assert len(list(neighbour)) > 0


def test_a_stopped_fork_server_is_replaced(plain_clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fork_server, "START_SECONDS", 5.0)  # the next one starts within it
    stopped = FORK_SERVER.process_id
    assert stopped is not None
    os.kill(stopped, signal.SIGSTOP)
    with closing(DecoderProcess().open(plain_clip)) as video:
        assert len(list(video)) > 0
    assert FORK_SERVER.process_id != stopped


def test_a_crash_is_named(plain_clip: Path) -> None:
    with closing(DecoderProcess().open(plain_clip)) as video:
        os.kill(decoders()[0], signal.SIGSEGV)
        with pytest.raises(DecoderError, match="ended by SIGSEGV"):
            list(video)


def test_a_video_that_needs_too_much_memory_says_so(large_clip: Path, tmp_path: Path) -> None:
    huge = write_clip(
        tmp_path, Clip(name="huge.mkv", codec="ffv1", pixel_format="gbrp16le", size=(4096, 4096), pts=(0, 40, 80))
    )
    failures: list[str] = []
    little = DecoderLimits(memory_bytes=128 * 2**20)
    with pytest.raises(DecoderMemoryError, match="needs more than 128 MiB to decode"):
        list(DecoderProcess(little, failures.append).open(huge, VideoConfig(threads=2)))
    assert failures == ["memory"]
    with closing(DecoderProcess(little).open(large_clip, VideoConfig(threads=2))) as video:
        assert len(list(video)) == 24


def test_closing_ends_a_decoder_wherever_it_stands(plain_clip: Path) -> None:
    for head in (b"", plain_clip.read_bytes()[:9000]):  # before the first frame, or in mid-stream
        stream = ByteStream()
        stream.feed(head)
        process, ended = DecoderProcess(), threading.Event()

        def work(
            process: DecoderProcess = process, stream: ByteStream = stream, ended: threading.Event = ended
        ) -> None:
            with pytest.raises(DecoderError):
                process.open(stream)
            ended.set()

        threading.Thread(target=work, daemon=True).start()
        assert eventually(lambda: len(decoders()) == 1)
        begin = time.monotonic()
        process.close()
        assert ended.wait(PATIENCE)
        assert eventually(lambda: decoders() == [])
        assert time.monotonic() - begin < _EXIT_SECONDS  # it is not waited for
        assert not stream.feed(b"more")
        with pytest.raises(DecoderError, match="was stopped"):
            process.open(plain_clip)


def test_a_decoder_that_is_closed_gives_no_more_result() -> None:
    stream, process, raised = _SlowlyLeft(), DecoderProcess(), list[type[Exception]]()

    def work() -> None:
        try:
            process.open(stream)
        except (DecoderError, MediaError) as error:
            raised.append(type(error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert eventually(lambda: len(decoders()) == 1)
    process.close()
    thread.join(PATIENCE)
    assert raised == [DecoderError]


def test_a_stopped_decoder_is_killed(plain_clip: Path) -> None:
    video = DecoderProcess().open(plain_clip)
    os.kill(decoders()[0], signal.SIGSTOP)  # as one that hangs and answers nothing
    begin = time.monotonic()
    video.close()
    assert eventually(lambda: decoders() == [])
    assert time.monotonic() - begin < _EXIT_SECONDS
    assert list(video) == []


@pytest.mark.parametrize(("clip", "memories"), [("large_clip", 1), ("plain_clip", 8)], ids=["shared", "copied"])
def test_pictures_outlive_the_video_and_memory_goes_back(
    clip: str, memories: int, request: pytest.FixtureRequest
) -> None:
    path: Path = request.getfixturevalue(clip)
    with open_video(path) as here:
        expected = [[plane.tobytes() for plane in frame.picture.planes] for frame in itertools.islice(here, 8)]
    video = DecoderProcess().open(path)
    frames = list(itertools.islice(video, 8))
    video.close()
    assert [[plane.tobytes() for plane in frame.picture.planes] for frame in frames] == expected
    assert len({bytes(planes[0]) for planes in expected}) == 8
    assert not frames[0].picture.planes[0].flags.writeable

    def mapped() -> int:
        return Path("/proc/self/maps").read_text().count("acfd-picture")

    assert mapped() == memories
    del frames
    gc.collect()
    assert mapped() == 0


def test_pictures_are_copied_where_the_shared_memory_is_full(large_clip: Path) -> None:
    little = DecoderLimits(memory_bytes=128 * 2**20)  # 32 MiB for pictures of 1.3 MiB
    with closing(DecoderProcess(little).open(large_clip)) as video, open_video(large_clip) as here:
        there = list(video)
        assert Path("/proc/self/maps").read_text().count("acfd-picture") > 1
        for one, other in zip(there, here, strict=True):
            planes = zip(one.picture.planes, other.picture.planes, strict=True)
            assert all(np.array_equal(*pair) for pair in planes)


def test_ffmpeg_gives_back_the_memory_of_pictures(large_clip: Path) -> None:
    code = (
        "from acfd_stream.video import open_video\n"
        "from acfd_stream.video.process.ffmpeg_memory import FFmpegMemory, shared_bytes\n"
        "memory = FFmpegMemory(2**28)\n"
        f"with open_video({str(large_clip)!r}) as video:\n"
        "    picture = list(video)[-1].picture\n"
        "    assert memory.offsets(picture) and shared_bytes() >= 24 * 1280 * 720 * 1.5\n"
        "del video\n"
        "assert 1280 * 720 * 1.5 <= shared_bytes() < 2 * 1280 * 720 * 1.5\n"
        "del picture\n"
        "assert shared_bytes() == 0\n"
    )
    subprocess.run([sys.executable, "-c", code], stdin=subprocess.DEVNULL, check=True)


def test_few_slots_serve_a_reader_that_holds_few(large_clip: Path) -> None:
    with closing(DecoderProcess().open(large_clip)) as video:
        for frame in video:
            assert frame.index >= 0
            assert Path("/proc/self/maps").read_text().count("acfd-picture") <= 5


def test_many_short_videos_leave_nothing(plain_clip: Path) -> None:
    data = plain_clip.read_bytes()
    threads, before = threading.active_count(), descriptors()
    for number in range(60):
        if number % 3 == 0:
            with pytest.raises(MediaError):
                DecoderProcess().open(flowing(b"no video" * 1000, ()))
            continue
        with closing(DecoderProcess().open(plain_clip if number % 3 == 1 else flowing(data, ()))) as video:
            assert len(list(itertools.islice(video, 3 + number))) == min(24, 3 + number)
    assert eventually(lambda: threading.active_count() <= threads)
    assert eventually(lambda: descriptors() <= before)
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_nswap == 0


def test_a_killed_fork_server_comes_back(plain_clip: Path) -> None:
    with closing(DecoderProcess().open(plain_clip)) as video:
        server = FORK_SERVER.process_id
        [decoder] = decoders()
        assert server is not None
        os.kill(server, signal.SIGKILL)
        with pytest.raises(DecoderError, match="the decoder process ended early"):
            list(video)
        assert eventually(lambda: not Path(f"/proc/{decoder}").exists())
    with closing(DecoderProcess().open(plain_clip)) as video:
        assert len(list(video)) == 24
    assert FORK_SERVER.process_id != server


@pytest.mark.parametrize("how", ["exit", "kill"])
def test_no_process_outlives_its_caller(how: str, plain_clip: Path) -> None:
    code = (
        "import os, sys\n"
        "from acfd_stream.video.process.decoder import DecoderProcess\n"
        "from acfd_stream.video.process.fork_server import FORK_SERVER as server\n"
        f"video = DecoderProcess().open({str(plain_clip)!r})\n"
        "ids = open(f'/proc/{server.process_id}/task/{server.process_id}/children').read()\n"
        "print(server.process_id, ids, flush=True)\n"
        f"{'os.kill(os.getpid(), 9)' if how == 'kill' else ''}\n"
    )
    done = subprocess.run([sys.executable, "-c", code], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    ids = done.stdout.split()
    assert len(ids) == 2, done.stderr
    assert eventually(lambda: not any(Path(f"/proc/{each}").exists() for each in ids))


def test_the_signals_of_a_terminal_are_the_callers(plain_clip: Path) -> None:
    with closing(DecoderProcess().open(plain_clip)) as video:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(decoders()[0], number)
            os.kill(FORK_SERVER.process_id or 0, number)
        assert len(list(video)) == 24


def test_a_decoder_has_no_descriptor_but_its_own(make_clip: Callable[..., Path]) -> None:
    path = make_clip()
    with closing(DecoderProcess().open(path)), path.open("rb") as file, closing(DecoderProcess().open(file)):
        newest = max(decoders())
        names = [os.readlink(f"/proc/{newest}/fd/{number}") for number in os.listdir(f"/proc/{newest}/fd")]
        own = [name for name in names if not name.startswith("socket:") and str(path) not in name]
        assert len(own) <= 4, names  # 0, 1, 2 and none of the fork server's
        assert sum(name.startswith("socket:") for name in names) <= 2  # the channel, and stderr may be one
        assert os.readlink(f"/proc/{newest}/fd/0") == "/dev/null"


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        ([("info", None, None), ("end", [], [], None, True, None, True, None)], None),
        ([("info", None, None), ("stuck", "why")], None),
        ([("info", None, None), ("strange",)], DecoderError),
        ([("info", None, None), ("frame", (), None, None, 1, 1, (0,), [])], DecoderError),
        ([("stuck", "why")], MediaError),
        ([("strange",)], DecoderError),
    ],
    ids=["end", "stuck", "unknown", "no picture", "stuck at first", "unknown at first"],
)
def test_descriptors_with_messages_that_have_none_are_closed(
    messages: list[tuple[Any, ...]], error: type[Exception] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = descriptors()
    ours, theirs = socket.socketpair()
    lifeline, its_lifeline = socket.socketpair()
    monkeypatch.setattr(FORK_SERVER, "start_decoder", lambda *_: (Channel(ours), lifeline))
    with theirs, its_lifeline:
        for message in messages:  # as from a decoder that was taken over
            Channel(theirs).send(message, [0, 0])
        found = None
        try:
            assert list(DecoderProcess().open("name")) == []
        except (DecoderError, MediaError) as raised:
            found = type(raised)
    assert found is error
    assert descriptors() == before
