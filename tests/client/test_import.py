"""A client must be cheap to import: no server code, no arrays, no media libraries."""

from __future__ import annotations

import json
import subprocess
import sys

MOST_TIMES = 3.0  # the CPU time of an interpreter with grpc and protobuf alone; it is about 1.7
HEAVY = {"av", "cv2", "numpy", "openvino", "prometheus_client", "scipy", "torch", "typer"}
ROOMS = {"characters", "checked", "client", "config", "config_file", "errors", "types", "v1", "wire"}
PROGRAM = """
import json, sys, time
import {modules}
print(json.dumps([time.process_time(), list(sys.modules)]))
"""


def imported(modules: str) -> tuple[float, set[str]]:
    """CPU seconds of an interpreter that imports ``modules``, from its start, and what is loaded then."""
    call = [sys.executable, "-c", PROGRAM.format(modules=modules)]
    seconds, names = json.loads(subprocess.run(call, check=True, capture_output=True).stdout)
    return seconds, set(names)


def test_a_client_loads_no_server_and_no_heavy_library_in_little_time() -> None:
    runs = [(imported("acfd_stream.client"), imported("grpc, google.protobuf.duration_pb2")) for _ in range(3)]
    modules = runs[0][0][1]
    assert modules & HEAVY == set()
    assert {name.split(".")[1] for name in modules if name.startswith("acfd_stream.")} == ROOMS
    assert min(ours[0] for ours, _ in runs) < MOST_TIMES * min(theirs[0] for _, theirs in runs)
