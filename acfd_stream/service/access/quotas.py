"""The number of running streams per token."""

from __future__ import annotations

import threading
from collections import Counter

from acfd_stream.service.access.token_file import Grant


class StreamQuotas:
    """Counts running streams per token."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: Counter[str] = Counter()

    def take(self, grant: Grant) -> bool:
        """Count one more stream of ``grant``; False if it has its maximum."""
        with self._lock:
            if grant.streams is not None and self._running[grant.name] >= grant.streams:
                return False
            self._running[grant.name] += 1
            return True

    def release(self, grant: Grant) -> None:
        """A stream of ``grant`` has ended."""
        with self._lock:
            self._running[grant.name] -= 1
            if self._running[grant.name] <= 0:
                del self._running[grant.name]

    def running(self, name: str) -> int:
        """Running streams of a token."""
        with self._lock:
            return self._running[name]
