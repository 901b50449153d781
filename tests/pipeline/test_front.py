from __future__ import annotations

import subprocess
import sys

import pytest

import acfd_stream


@pytest.mark.parametrize("name", acfd_stream.__all__)
def test_every_name_of_the_front_is_there(name: str) -> None:
    assert getattr(acfd_stream, name).__name__ == name
    assert name in dir(acfd_stream)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        acfd_stream.nothing  # noqa: B018


def test_importing_the_package_loads_nothing_but_itself() -> None:
    code = "import sys, acfd_stream; print([name for name in sys.modules if name in ('numpy', 'av', 'openvino')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
