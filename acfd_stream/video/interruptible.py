"""Waiting for a network so that Ctrl-C is heard: Python looks for signals only between steps of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import TypeVar, cast

T = TypeVar("T")


def interruptible(call: Callable[[], T]) -> T:
    """What ``call`` returns or raises, out of a thread of its own, while this one waits where signals reach it.

    When a signal raises here, the thread is left behind: it ends with the process, or when the network answers.
    """
    returned: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()

    def work() -> None:
        try:
            result = call()
            returned.put((result, None))
        except BaseException as error:  # carried to the caller, whatever it is
            returned.put((None, error))

    threading.Thread(target=work, name="acfd-network", daemon=True).start()
    result, error = returned.get()
    if error is not None:
        raise error
    return cast(T, result)
