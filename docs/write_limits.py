"""Write docs/limits.md: every setting and cap of ``config.py`` with its default; ``--check`` only compares."""

from __future__ import annotations

import ast
import dataclasses
import sys
from itertools import pairwise
from pathlib import Path

from acfd_stream import config

PAGE = Path(__file__).resolve().parent / "limits.md"
HEAD = """# Settings and limits

Written by `python docs/write_limits.py` from `acfd_stream/config.py`; a test compares the two.
A value outside its range is refused when the config is made (`ConfigError`), never bent.

When a cap bites, it shows: `is_truncated` on a frame where what candidates or faces cut off scored as a track's face
may (`keep_score`), one line and exit code 1 for a frame
that is too large, `"state": "filled"` for what stands in a gap. A full queue stops the decoder; no frame of a file is
ever dropped.
"""


def field_docs(cls: type) -> dict[str, str]:
    """Field → the text under it in the source."""
    tree = ast.parse(Path(config.__file__).read_text())
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == cls.__name__)
    docs = {}
    for field, text in pairwise(body):
        is_documented = isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and is_documented:
            docs[field.target.id] = " ".join(str(text.value.value).split()).replace("``", "`").replace("|", "\\|")
    return docs


def section(cls: type) -> str:
    """The table of one config."""
    lines = [f"## {cls.__name__}", "", str(cls.__doc__).splitlines()[0], ""]
    lines += ["| setting | default | what, unit, range |", "|---|---|---|"]
    docs = field_docs(cls)
    lines += [f"| `{field.name}` | `{field.default}` | {docs[field.name]} |" for field in dataclasses.fields(cls)]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write the page; with ``--check`` 1 when it differs from what would be written."""
    configs = [value for value in vars(config).values() if dataclasses.is_dataclass(value)]
    page = "\n".join([HEAD, *(section(cls) for cls in configs)])
    if "--check" in sys.argv[1:]:
        return int(not PAGE.exists() or PAGE.read_text() != page)
    PAGE.write_text(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
