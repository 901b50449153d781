"""Memory goes back once after every busy time, and only after some rest."""

from __future__ import annotations

from acfd_stream.malloc import REST_SECONDS, IdleTrim, limit_heaps, trim


def test_memory_goes_back_once_after_a_rest() -> None:
    now, given = [0.0], []
    idle = IdleTrim(lambda: given.append(now[0]), clock=lambda: now[0])
    for is_busy, seconds in ((False, 5.0), (True, REST_SECONDS / 2), (False, REST_SECONDS / 3), (True, 0.0)):
        idle.update(is_busy=is_busy)
        now[0] += seconds
    assert given == []
    for _ in range(4):
        idle.update(is_busy=False)
        now[0] += REST_SECONDS
    assert len(given) == 1


def test_sharing_heaps_and_giving_back_are_harmless() -> None:
    kept = [bytes(1000) for _ in range(100)]
    limit_heaps()
    trim()
    assert all(not any(piece) for piece in kept)
