"""The process that starts decoder processes by forking, in milliseconds, and ends them; and the caller's end of it.

It is a program of its own, started once per process that decodes, with nothing but the decoder loaded and one thread.
Each decoder has a lifeline, a socket whose other end its caller holds. When that end is closed, for whatever reason,
the decoder is killed. When the decoder ends, how it ended is written to the lifeline. No process outlives its caller.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass

from acfd_stream.video.process.channel import Channel
from acfd_stream.video.process.watch import is_stopped, memory_bytes

TOO_MUCH_MEMORY, STOPPED = "memory", "stopped"
"""How a decoder ended that was killed for its memory, or because a signal had stopped it."""
STOPPED_SECONDS = 5.0
"""For how long a decoder may be stopped, until it is killed: its caller waits for it."""
START_SECONDS = 60.0
"""For how long a fork server may take to start a decoder, until it is killed and another one is asked."""
_AHEAD_BYTES = 2**14  # some frames' messages, which the caller reads at once
_POLL_MILLISECONDS = 100  # between two looks at the memory of the decoders
_LONGEST_PASS = 1.0  # seconds that count between two looks
_BEYOND_BYTES = 2**30
_EXIT_SECONDS = 5.0
_KILLED_WITH_PARENT = 1  # PR_SET_PDEATHSIG
_FIRST_TO_KILL = 800  # of 1000: the kernel, short of memory, ends decoders first
# A terminal and a service manager send these to all processes: the service drains, and its decoders go on meanwhile.
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# With the modules of the caller, and without the threads of NumPy, which a fork would lose.
_PROGRAM = """\
import os, sys
os.environ["OPENBLAS_NUM_THREADS"] = "1"
sys.path[:] = {path!r}
from acfd_stream.video.process.fork_server import main
main({descriptor})
"""


@dataclass
class _Decoder:
    lifeline: socket.socket
    memory_bytes: int
    stopped_seconds: float = 0.0  # as far as this process ran, too
    killed_for: str = ""


class ForkServer:
    """The caller's end of a fork server, which starts with the first decoder, and again if it was killed."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None

    @property
    def process_id(self) -> int | None:
        """The process id of the server; None: it does not run."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the server, so that the first decoder does not wait for it; without waiting."""
        with self._turn:
            self._started()

    def start_decoder(self, memory_bytes: int, descriptor: int | None) -> tuple[Channel, socket.socket]:
        """A new decoder: the channel to it, and its lifeline.

        Args:
            memory_bytes: it is killed when it holds more.
            descriptor: what it reads, if not by name; is copied.

        Raises:
            EOFError: it cannot be started.
            OSError: there are no descriptors left.
        """
        own_channel, its_channel = socket.socketpair()
        own_lifeline, its_lifeline = socket.socketpair()
        with its_channel, its_lifeline:
            descriptors = [its_channel.fileno(), its_lifeline.fileno()]
            descriptors += [] if descriptor is None else [descriptor]
            try:
                with self._turn:
                    self._ask(memory_bytes, descriptors)
            except BaseException:
                own_channel.close()
                own_lifeline.close()
                raise
        return Channel(own_channel, _AHEAD_BYTES), own_lifeline

    def _ask(self, memory_bytes: int, descriptors: list[int]) -> None:
        try:
            self._ask_once(memory_bytes, descriptors)
        except EOFError:  # it was killed, or is now
            self._stop()
            self._ask_once(memory_bytes, descriptors)

    def _ask_once(self, memory_bytes: int, descriptors: list[int]) -> None:
        channel = self._started()
        channel.send(memory_bytes, descriptors)
        if not select.select([channel], [], [], START_SECONDS)[0]:
            if self._process is not None:
                self._process.kill()
            raise EOFError(f"the fork server did not answer within {START_SECONDS:g} s")
        channel.receive()

    def _started(self) -> Channel:
        if self._channel is None:
            ours, theirs = socket.socketpair()
            with theirs:
                code = _PROGRAM.format(path=list(filter(None, sys.path)), descriptor=theirs.fileno())
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-c", code],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                )
            self._channel = Channel(ours)
        return self._channel

    def close(self) -> None:
        """End the server and all its decoders."""
        with self._turn:
            self._stop()

    def _stop(self) -> None:
        if self._channel is not None and self._process is not None:
            self._channel.close()
            try:
                self._process.wait(_EXIT_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._channel = self._process = None


FORK_SERVER = ForkServer()
"""The one of this process; ends with it."""
atexit.register(FORK_SERVER.close)


class _Server:
    """The loop of the program."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection, self._channel = connection, Channel(connection)
        self._decoders: dict[int, _Decoder] = {}  # by process id
        self._ended, self._ends = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(self._ends, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        self._poll.register(self._ended, select.POLLIN)
        self._checked_at = time.monotonic()

    def serve(self) -> None:
        """Start decoders until the caller is gone; then kill them."""
        try:
            while True:
                ready = {number for number, _ in self._poll.poll(_POLL_MILLISECONDS if self._decoders else None)}
                if self._ended in ready:
                    os.read(self._ended, 4096)
                self._reap()
                now = time.monotonic()
                passed = min(now - self._checked_at, _LONGEST_PASS)  # longer: this process was stopped as well
                self._checked_at = now
                for process_id, decoder in self._decoders.items():
                    self._check(process_id, decoder, passed, is_left=decoder.lifeline.fileno() in ready)
                if self._connection.fileno() in ready:
                    self._start(self._channel.receive(), self._channel.take_descriptors())
        except EOFError:
            for process_id in self._decoders:
                os.kill(process_id, signal.SIGKILL)

    def _check(self, process_id: int, decoder: _Decoder, passed: float, *, is_left: bool) -> None:
        """Kill a decoder that nobody waits for, that is too large, or that has been stopped for too long."""
        decoder.stopped_seconds = decoder.stopped_seconds + passed if is_stopped(process_id) else 0.0
        if memory_bytes(process_id) > decoder.memory_bytes:
            decoder.killed_for = TOO_MUCH_MEMORY
        elif decoder.stopped_seconds > STOPPED_SECONDS:
            decoder.killed_for = decoder.killed_for or STOPPED
        if is_left or decoder.killed_for:
            os.kill(process_id, signal.SIGKILL)
        if is_left:
            self._poll.unregister(decoder.lifeline)  # else its hang-up is reported until the process has ended

    def _reap(self) -> None:
        while self._decoders:
            process_id, status = os.waitpid(-1, os.WNOHANG)
            if process_id == 0:
                return
            decoder = self._decoders.pop(process_id)
            with suppress(KeyError):
                self._poll.unregister(decoder.lifeline)
            code = os.waitstatus_to_exitcode(status)
            with decoder.lifeline, suppress(OSError):  # nobody waits for it
                decoder.lifeline.send((decoder.killed_for or str(code)).encode())

    def _start(self, memory_bytes: int, descriptors: list[int]) -> None:
        channel, lifeline, *source = descriptors
        try:
            process_id = os.fork()
            if process_id == 0:
                _decode(channel, source[0] if source else None, memory_bytes)
        except OSError:  # too many processes; the caller finds both sockets closed
            os.close(lifeline)
            self._channel.send(False)
            return
        finally:
            for descriptor in (channel, *source):
                os.close(descriptor)
        decoder = self._decoders[process_id] = _Decoder(socket.socket(fileno=lifeline), memory_bytes)
        self._poll.register(decoder.lifeline, 0)  # a hang-up is always reported
        self._channel.send(True)


def _decode(channel: int, source: int | None, memory_bytes: int) -> None:
    """What the forked process does; does not return."""
    from acfd_stream.video.process.child import decode

    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        ctypes.CDLL(None).prctl(_KILLED_WITH_PARENT, signal.SIGKILL)
        kept = {0, 1, 2, channel, source}
        for name in os.listdir("/proc/self/fd"):
            if int(name) not in kept:
                with suppress(OSError):
                    os.close(int(name))
        with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
            file.write(str(_FIRST_TO_KILL))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        # Above what is taken between two looks at the memory: what cannot be had counts as damage of the video.
        most = memory_bytes + _BEYOND_BYTES
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
        decode(Channel(socket.socket(fileno=channel)), source)
        code = 0
    finally:
        os._exit(code)


def main(descriptor: int) -> None:
    """Serve the process at the other end of ``descriptor``."""
    import acfd_stream.video.process.child  # noqa: F401  # loaded once, for all decoders

    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    gc.collect()
    gc.freeze()  # a collection would copy the pages that all decoders share
    _Server(socket.socket(fileno=descriptor)).serve()
