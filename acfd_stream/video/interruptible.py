"""Waits for the network so that Ctrl-C works: Python handles signals only between its own instructions."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import TypeVar, cast

T = TypeVar("T")


def interruptible(call: Callable[[], T]) -> T:
    """The result or exception of ``call``, run in another thread while this thread can handle signals.

    If a signal raises here, that thread continues until the network answers or the process ends.
    """
    returned: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()

    def work() -> None:
        try:
            result = call()
            returned.put((result, None))
        except BaseException as error:  # raised again in the calling thread
            returned.put((None, error))

    threading.Thread(target=work, name="acfd-network", daemon=True).start()
    result, error = returned.get()
    if error is not None:
        raise error
    return cast(T, result)
