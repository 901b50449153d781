"""The machine of ``make test-gpu`` has what it promises."""

from __future__ import annotations

import pytest


@pytest.mark.gpu
def test_a_cuda_device_starts(cuda_device_count: int) -> None:
    assert cuda_device_count >= 1
