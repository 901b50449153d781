"""What the tests of decoder processes share: who is there, and sources that never end."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from acfd_stream.video import ByteStream
from acfd_stream.video.process.fork_server import FORK_SERVER

PATIENCE = 30.0


def decoders() -> list[int]:
    """Process ids of all decoders of this process, zombies included."""
    server = FORK_SERVER.process_id
    if server is None:
        return []
    try:
        return [int(each) for each in Path(f"/proc/{server}/task/{server}/children").read_text().split()]
    except OSError:
        return []


def descriptors() -> int:
    """Open files of this process."""
    return len(os.listdir("/proc/self/fd"))


def eventually(fact: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    """Whether ``fact`` becomes true."""
    until = time.monotonic() + seconds
    while not fact():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def flowing(head: bytes, pieces: Iterable[bytes]) -> ByteStream:
    """A stream of ``head`` and then ``pieces``, as long as somebody reads."""
    stream = ByteStream(2**20)

    def feed() -> None:
        stream.feed(head)
        for piece in pieces:
            if not stream.feed(piece):
                return
        stream.close()

    threading.Thread(target=feed, daemon=True).start()
    return stream
