"""A run pauses while OUT has no room, files are short, or another process holds the manifest; then it goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from acfd_stream.archive.state_folder import require_room
from acfd_stream.errors import AcfdError, OutputError
from acfd_stream.shortage import is_shortage

T = TypeVar("T")
_FIRST_SECONDS, _LONGEST_SECONDS = 1.0, 30.0  # between two probes
_SAY_SECONDS = 60.0
_TICK_SECONDS = 0.25


class Pause:
    """Whether the run pauses, and why.

    Args:
        out: folder of the results.
        limit_seconds: how long one pause may last; None: for ever.
        tell: called with the reason when a pause begins, and each minute; with "" when it has ended.
        show: called several times per second while a call waits here.
        is_stopped: whether the run should end: then nothing waits.
        clock: seconds, never backwards.
    """

    def __init__(
        self,
        out: Path,
        limit_seconds: float | None,
        *,
        tell: Callable[[str], None] = lambda reason: None,
        show: Callable[[], None] = lambda: None,
        is_stopped: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.reason = ""
        self._out, self._limit, self._tell, self._show = out, limit_seconds, tell, show
        self._is_stopped, self._clock = is_stopped, clock
        self._began = self._ended = self._said_at = -_SAY_SECONDS
        self._is_said = False
        self._probe_seconds, self._probe_at = _FIRST_SECONDS, 0.0

    def begin(self, reason: str) -> None:
        """Pause, unless the run pauses already."""
        now = self._clock()
        if not self.reason:
            self._began = now
            is_repeated = now - self._ended < _SAY_SECONDS  # what was mended did not help
            self._probe_seconds = min(self._probe_seconds * 2, _LONGEST_SECONDS) if is_repeated else _FIRST_SECONDS
            self._probe_at = now + self._probe_seconds
        self.reason = reason
        if now - self._said_at >= _SAY_SECONDS:
            self._said_at, self._is_said = now, True
            self._tell(reason)

    def is_over(self) -> bool:
        """Whether the run does not pause; after a pause of some time this tries whether there is room.

        Raises:
            OutputError: the pause lasts longer than the limit.
        """
        if not self.reason:
            return True
        now = self._clock()
        self.begin(self.reason)  # says so each minute
        if now >= self._probe_at:
            self._probe_at = now + self._probe_seconds
            if self._has_room():
                self.end()
                return True
        if self._is_too_long(now):
            raise OutputError(self.reason)
        return False

    def wait(self, error: Exception, seconds: float = 0.0) -> None:
        """A ``Wait`` of the manifest: returns for another try a moment later.

        ``seconds`` decides nothing: the limit is that of the whole pause, which may have begun before.

        Raises:
            AcfdError: ``error`` or what it means, if the run should end or the pause lasts longer than the limit.
        """
        self.begin(str(error))
        if self._is_stopped() or self._is_too_long(self._clock()):
            if isinstance(error, AcfdError):
                raise error  # and not from itself: the chain of causes would have no end
            raise OutputError(f"the run cannot go on: {error}") from error
        self._show()
        time.sleep(_TICK_SECONDS)

    def trying(self, action: Callable[[], T]) -> T:
        """What ``action`` returns, which is called again while it fails for want of room.

        Raises:
            Exception: any other error of it.
            AcfdError: the run should end, or the pause lasts too long.
        """
        is_waiting = False
        while True:
            try:
                result = action()
            except (AcfdError, OSError) as error:
                if not is_shortage(error):
                    raise
                is_waiting = True
                self.wait(error)
            else:
                if is_waiting:
                    self.end()
                return result

    def _is_too_long(self, now: float) -> bool:
        return self._limit is not None and now - self._began > self._limit

    def end(self) -> None:
        """The pause is over, if there is one."""
        if not self.reason:
            return
        self.reason, self._ended = "", self._clock()
        if self._is_said:
            self._is_said = False
            self._tell("")

    def _has_room(self) -> bool:
        try:
            require_room(self._out)
        except OSError:
            return False
        return True
