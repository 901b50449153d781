"""Two processes train one network, each on its share of the batch; one of them writes and validates."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from acfd_stream.errors import ConfigError
from acfd_stream.model.distributed import DataParallelGroup
from tests.model.tiny import write_data


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A config and a set of two pictures with a face each."""
    return write_data(tmp_path)


def trained(data: Path, *launcher: str) -> tuple[dict[str, torch.Tensor], list[dict[str, float]]]:
    """Weights and curve of a run under ``launcher``."""
    out = data / f"run{len(launcher)}"
    paths = ["--config", str(data / "tiny.toml"), "--data", str(data), "--out", str(out)]
    command = [sys.executable, "-m", *launcher, "acfd_stream.model.train", *paths, "--workers", "0", "--threads", "1"]
    done = subprocess.run([*command, "--device", "cpu"], capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    curve = [json.loads(line) for line in (out / "curve.jsonl").read_text().splitlines()]
    return torch.load(out / "last.pt", weights_only=True)["network"], curve


def test_two_processes_train_one_network_and_one_of_them_writes(data: Path) -> None:
    launcher = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python", sys.executable, "-m")
    state, curve = trained(data, *launcher)
    assert [row["iteration"] for row in curve] == [4]
    assert "ap50" in curve[0]
    assert all(value.isfinite().all() for value in state.values())


def test_a_group_of_one_process_needs_no_communication() -> None:
    group = DataParallelGroup.from_torchrun("cpu")
    layer = torch.nn.Linear(2, 2)
    assert (group, group.is_first, group.local_batch(5), group.broadcast(0.25)) == (DataParallelGroup(), True, 5, 0.25)
    assert group.wrap(layer) is layer
    group.barrier()
    group.close()


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    assert DataParallelGroup(1, 4).local_batch(8) == 2
    with pytest.raises(ConfigError, match="multiple of the 3 processes, got 16"):
        DataParallelGroup(0, 3).local_batch(16)
