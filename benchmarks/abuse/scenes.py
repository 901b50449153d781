"""Stress scenes for a running server."""

from __future__ import annotations

import io
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc

from acfd_stream.errors import MediaError
from acfd_stream.v1 import face_track_pb2_grpc
from acfd_stream.video import open_video
from benchmarks.abuse.arena import Arena
from benchmarks.abuse.mutate import bent
from benchmarks.abuse.play import Ending, broken_stream, cancelling, channel_to, config, media_requests, play, stream_of

SLOW_OPTIONS = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.http2.bdp_probe", 0),  # the window stays as small as it begins
    ("grpc.http2.lookahead_bytes", 8192),
]
_CLIENT = """
import sys
from pathlib import Path
from benchmarks.abuse.play import channel_to, play, stream_of
def watch(call, ending):
    if ending.frames:
        print("results", flush=True)
play(channel_to(sys.argv[1]), stream_of(Path(sys.argv[2]), mode=1), watch=watch)
"""


def odd_files(arena: Arena, files: list[Path]) -> dict[str, Ending]:
    """Send every file as a stream."""
    endings = {}
    for file in files:
        with channel_to(arena.address) as channel:
            endings[file.name] = play(channel, stream_of(file, mode=1, name="odd"), timeout_seconds=120)
    return endings


class _Forward(io.FileIO):
    """A file that can only be read sequentially, like a stream."""

    def seekable(self) -> bool:
        return False


def expected(file: Path) -> tuple[str, int, bool, str]:
    """The decoder's own result for a file without seeking: status, frames, completeness and break."""
    try:
        with _Forward(file) as source, open_video(source) as video:
            frames = sum(1 for _ in video)
            return "OK", frames, video.is_complete, video.error or ""
    except MediaError:
        return "INVALID_ARGUMENT", 0, False, ""


def told(ending: Ending) -> tuple[str, int, bool, str]:
    """A stream's result in the form of ``expected``."""
    end = ending.end
    return ending.code, len(ending.frames), end is not None and end.is_complete, "" if end is None else end.error


def soak(arena: Arena, media: list[bytes], count: int, seed: int, at_once: int = 4) -> Counter[str]:
    """Open, cancel and break ``count`` streams at random moments; returns how they ended."""
    with ThreadPoolExecutor(at_once) as clients:
        return Counter(
            clients.map(lambda number: _one(arena.address, media, random.Random(f"{seed}/{number}")), range(count))
        )


def _one(address: str, media: list[bytes], rng: random.Random) -> str:
    clip = rng.choice(media)
    kind = rng.choice(("honest", "broken", "cancelled", "cancelled", "vanished", "late", "damaged"))
    channel = channel_to(address)
    honest = stream_of(clip, mode=rng.choice((1, 2)), name="soak")
    if kind == "honest":
        ending = play(channel, honest)
    elif kind == "broken":
        ending = play(channel, broken_stream(clip, rng))
    elif kind == "cancelled":
        ending = play(channel, honest, watch=cancelling(rng))
    elif kind == "vanished":
        ending = _vanishing(channel, honest, rng)
    elif kind == "late":
        ending = play(channel, honest, timeout_seconds=rng.random() * 0.5)
    else:
        ending = play(channel, stream_of(bent(clip, rng), mode=rng.choice((1, 2)), name="soak"))
    channel.close()
    return f"{kind} {ending.code}"


def _vanishing(channel: grpc.Channel, requests: Iterator[Any], rng: random.Random) -> Ending:
    """Close the connection in the middle of a stream."""
    after = rng.choice((0, 1, 3))

    def watch(call: Any, ending: Ending) -> None:
        if len(ending.frames) >= after:
            channel.close()

    return play(channel, requests, watch=watch)


def slow_reader(arena: Arena, media: bytes, others: bytes) -> tuple[Ending, Ending, float]:
    """A client that reads nothing until another one has finished: both results, and the duration of the other one."""
    with grpc.insecure_channel(arena.address, options=SLOW_OPTIONS) as channel:
        call = face_track_pb2_grpc.FaceTrackServiceStub(channel).Track(stream_of(media, mode=1), timeout=120)
        ending = Ending()
        ending.take(next(call))
        _await_standstill(arena)
        begin = time.monotonic()
        with channel_to(arena.address) as second:
            other = play(second, stream_of(others, mode=1))
        seconds = time.monotonic() - begin
        for message in call:
            ending.take(message)
        return ending, other, seconds


def _await_standstill(arena: Arena) -> None:
    """Return when no frame has been answered for a second: the slow reader's queue is full."""
    last, since = -1.0, time.monotonic()
    while time.monotonic() - since < 1.0:
        time.sleep(0.1)
        now = sum(arena.gauges(("acfd_frames_total",)).values())
        if now != last:
            last, since = now, time.monotonic()


def killed_client(arena: Arena, file: Path) -> bool:
    """Kill a client process that is receiving results; returns whether the server releases it."""
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", _CLIENT, arena.address, str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root) as client:
        if client.stdout is not None:
            client.stdout.readline()
        client.send_signal(signal.SIGKILL)
    return not arena.await_rest()


def expired(arena: Arena, media: bytes, seconds: float = 0.3) -> Ending:
    """A stream that is not finished at its client's deadline."""
    with channel_to(arena.address) as channel:
        return play(channel, _lingering(media), timeout_seconds=seconds)


def _lingering(media: bytes) -> Iterator[Any]:
    """A stream whose end is delayed."""
    yield from stream_of(media, mode=1)
    time.sleep(2.0)


def broken_off(address: str, media: bytes, pid: int, signal_number: int, after_frames: int) -> Ending:
    """A stream whose server receives a signal after ``after_frames`` results."""
    state = {"sent": False}

    def watch(call: Any, ending: Ending) -> None:
        is_time = len(ending.frames) >= after_frames and (ending.token or signal_number != signal.SIGKILL)
        if is_time and not state["sent"]:
            state["sent"] = True
            os.kill(pid, signal_number)

    with channel_to(address) as channel:
        return play(channel, stream_of(media, mode=1), watch=watch)


def resumed(address: str, media: bytes, before: Ending) -> Ending:
    """The stream of ``before`` again, from its last resume point."""
    with channel_to(address) as channel:
        return play(channel, [config(mode=1, resume_token=before.token), *media_requests(media)])


def joined(before: Ending, after: Ending) -> list[Any]:
    """Results of both streams, keeping the first result per frame."""
    by_index = {frame.index: frame for frame in after.frames} | {frame.index: frame for frame in before.frames}
    return [by_index[index] for index in sorted(by_index)]


def faces_of(frames: list[Any]) -> list[Any]:
    """What must be equal in every run: everything but times."""
    return [
        (f.index, f.pts, f.shot, [(face.track_id, face.box.SerializeToString(), face.score) for face in f.faces])
        for f in frames
    ]
