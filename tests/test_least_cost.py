"""The solver of assignments: SciPy's own, wherever it is found."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize

from acfd_stream import least_cost


@pytest.mark.parametrize("maximize", [False, True])
def test_pairs_are_those_of_scipy_also_of_equal_solutions(maximize: bool) -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        costs = np.round(rng.random(rng.integers(1, 9, 2)), 1)  # many ties
        found = least_cost.linear_sum_assignment(costs, maximize=maximize)
        for ours, theirs in zip(found, optimize.linear_sum_assignment(costs, maximize=maximize), strict=True):
            assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("missing", ["_FOLDER", "_MODULE"])
def test_a_scipy_of_another_layout_is_loaded_as_a_whole(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(least_cost, missing, "_nowhere")
    assert least_cost._solver() is optimize.linear_sum_assignment
