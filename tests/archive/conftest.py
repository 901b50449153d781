"""What the tests of archives share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.archive.ray_cluster import own_cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[None]:
    """A Ray cluster of this machine's own, for every workers that names no address; it takes seconds to begin."""
    with own_cluster():
        yield
