"""A client must be cheap to import: no server code, no arrays, no media libraries."""

from __future__ import annotations

import json
import subprocess
import sys

CPU_SECONDS = 0.3  # of the whole interpreter: its start, grpc, protobuf and ours
HEAVY = {"av", "cv2", "numpy", "openvino", "prometheus_client", "scipy", "torch", "typer"}
ROOMS = {"characters", "checked", "client", "config", "config_file", "errors", "types", "v1", "wire"}
PROGRAM = """
import json, sys, time
import acfd_stream.client
print(json.dumps([time.process_time(), list(sys.modules)]))
"""


def test_a_client_loads_no_server_and_no_heavy_library_in_little_time() -> None:
    runs = [subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True) for _ in range(3)]
    results = [json.loads(run.stdout) for run in runs]
    modules = set(results[0][1])
    assert modules & HEAVY == set()
    assert {name.split(".")[1] for name in modules if name.startswith("acfd_stream.")} == ROOMS
    assert min(seconds for seconds, _ in results) < CPU_SECONDS
