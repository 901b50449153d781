"""``train``, ``evaluate`` and ``export``: run the programs of ``acfd_stream.model``, which need torch."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from acfd_stream.cli.exits import DONE, PROGRAM
from acfd_stream.errors import BackendUnavailable


def run_training(name: str, arguments: Sequence[str]) -> int:
    """The exit code of ``acfd_stream.model.NAME.main(arguments)``.

    Raises:
        BackendUnavailable: a library of the extra "train" is not installed.
    """
    try:
        module = importlib.import_module(f"acfd_stream.model.{name}")
        return int(module.main(list(arguments)) or DONE)
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0]
        if missing in ("", "acfd_stream"):
            raise
        raise BackendUnavailable(
            f"'{PROGRAM} {name}' needs {missing}, which is not installed; pip install 'acfd-stream[train]'"
        ) from error
    except SystemExit as error:  # raised by argparse
        return error.code if isinstance(error.code, int) else int(error.code is not None)
