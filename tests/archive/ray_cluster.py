"""A Ray cluster on this machine, for tests: small, quiet, and gone afterwards."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from acfd_stream.config import hush_ray
from tests.conftest import ROOT


@contextmanager
def own_cluster(cores: int = 2) -> Iterator[Any]:
    """The library ``ray``, joined to a cluster that says it has so many cores and finds the tests' modules."""
    hush_ray()
    import ray

    logging.getLogger("ray").setLevel(logging.ERROR)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))  # the workers inherit it
        _init(ray, cores)
    try:
        yield ray
    finally:
        ray.shutdown()


def _init(ray: Any, cores: int) -> None:
    ray.init(
        address="local",
        num_cpus=cores,
        include_dashboard=False,
        log_to_driver=False,
        configure_logging=False,
        logging_level=logging.ERROR,
        object_store_memory=100 * 2**20,
    )
