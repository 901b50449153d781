"""Pairs of rows and columns of least total cost: SciPy's solver, without the rest of ``scipy.optimize``.

All of ``scipy.optimize`` takes 0.36 s of CPU time to load, as long as all else that tracking needs.
"""

from __future__ import annotations

from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, FileFinder
from importlib.util import find_spec, module_from_spec
from typing import Any

_FOLDER, _MODULE = "optimize", "_lsap"


def _solver() -> Any:
    """``scipy.optimize.linear_sum_assignment``; loads its extension module alone, where SciPy has it."""
    scipy = find_spec("scipy")
    for folder in (scipy and scipy.submodule_search_locations) or ():
        finder = FileFinder(f"{folder}/{_FOLDER}", (ExtensionFileLoader, EXTENSION_SUFFIXES))
        found = finder.find_spec(_MODULE)
        if found is not None and found.loader is not None:
            module = module_from_spec(found)
            found.loader.exec_module(module)
            if hasattr(module, "linear_sum_assignment"):
                return module.linear_sum_assignment
    from scipy.optimize import linear_sum_assignment

    return linear_sum_assignment


linear_sum_assignment = _solver()
