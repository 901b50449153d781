"""Memory goes back once after every busy time, and only after some rest."""

from __future__ import annotations

import subprocess
import sys

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


_TAKES_AND_FREES = """
import resource
import sys
from acfd_stream.malloc import keep_freed
if sys.argv[1] == "kept":
    keep_freed()
for _ in range(5):
    b"x" * (40 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


def test_kept_memory_costs_no_faults_again() -> None:
    """Of five blocks of 40 MB each only the first needs new pages, 4 kB a fault."""
    faults = {}
    for name in ("kept", "returned"):
        call = [sys.executable, "-c", _TAKES_AND_FREES, name]
        faults[name] = int(subprocess.run(call, capture_output=True, check=True).stdout)
    assert faults["kept"] < faults["returned"] - 3 * (40 << 20) // 4096
