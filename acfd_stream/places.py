"""How callers share a bounded number of places, so that whoever came first cannot keep the others out."""

from __future__ import annotations

import math

NEWCOMERS = 0.25
"""Default share of places beside a limit that are kept for callers who hold few."""


def has_place(most: int, used: int, own: int, newcomers: float = NEWCOMERS) -> bool:
    """Whether a caller who holds ``own`` of the ``used`` places may take another.

    All callers together may fill ``most`` places, also one alone. The places beside them go to callers who hold fewer
    than are still free, so that each takes part of what is left, and many callers get one.

    Args:
        most: places that are open to everyone, >= 0.
        used: places that are taken, 0 … ``most_places``.
        own: those of the caller.
        newcomers: places beside, as a share of ``most``, 0 … 1.

    Source: the dynamic threshold of Choudhury and Hahne, Dynamic Queue Length Thresholds for Shared-Memory Packet
    Switches, 1998.
    """
    return used < most or own < most_places(most, newcomers) - used


def most_places(most: int, newcomers: float = NEWCOMERS) -> int:
    """All places, with those beside ``most``: at least two, but never more than ``most``."""
    return most + (min(most, max(2, math.ceil(most * newcomers))) if newcomers > 0 else 0)
