"""Write docs/limits.md: every setting and cap, of the library and of the service; ``--check`` only compares."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import sys
from itertools import pairwise
from pathlib import Path
from typing import get_type_hints

from acfd_stream import config
from acfd_stream.service.settings import ServiceSettings

PAGE = Path(__file__).resolve().parent / "limits.md"
HEAD = """# Settings and limits

Written by `python docs/write_limits.py` from the source; a test compares the two. The settings of the service, and the
names that all have in its file, are [below](#the-service).
A value outside its range is refused when the config is made (`ConfigError`), never bent.

When a cap bites, it shows: `is_truncated` on a frame where what candidates or faces cut off scored as a track's face
may (`keep_score`), one line and exit code 1 for a frame
that is too large, `"state": "filled"` for what stands in a gap. A full queue stops the decoder; no frame of a file is
ever dropped.
"""


def field_docs(cls: type) -> dict[str, str]:
    """Field → the text under it in the source."""
    tree = ast.parse(Path(inspect.getfile(cls)).read_text())
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == cls.__name__)
    docs = {}
    for field, text in pairwise(body):
        is_documented = isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and is_documented:
            docs[field.target.id] = " ".join(str(text.value.value).split()).replace("``", "`").replace("|", "\\|")
    return docs


SERVICE = """## The service

`acfd-stream serve --config serve.toml` reads these: the first ones at the top of the file, the others from tables of
their own. An unknown key is an error, and an option of the command wins over the file. `[{shared}]` hold what stands
above as {owners}.
"""


def section(cls: type, title: str = "") -> str:
    """The table of one config; what is a table of its own in a file is left out."""
    lines = [f"## {title or cls.__name__}", "", str(cls.__doc__).splitlines()[0], ""]
    lines += ["| setting | default | what, unit, range |", "|---|---|---|"]
    docs = field_docs(cls)
    fields = [field for field in dataclasses.fields(cls) if field.name not in tables(cls)]
    lines += [f"| `{field.name}` | `{field.default}` | {docs[field.name]} |" for field in fields]
    return "\n".join(lines) + "\n"


def tables(cls: type) -> dict[str, type]:
    """Fields of a config that are configs themselves."""
    return {name: hint for name, hint in get_type_hints(cls).items() if dataclasses.is_dataclass(hint)}


def service_sections() -> list[str]:
    """What a file of the service may hold."""
    own = {name: cls for name, cls in tables(ServiceSettings).items() if cls.__module__ != config.__name__}
    shared = {name: cls for name, cls in tables(ServiceSettings).items() if name not in own}
    owners = ", ".join(cls.__name__ for cls in shared.values())
    head = SERVICE.format(shared="]`, `[".join(shared), owners=owners)
    return [head, section(ServiceSettings, "serve.toml"), *(section(cls, f"[{name}]") for name, cls in own.items())]


def main() -> int:
    """Write the page; with ``--check`` 1 when it differs from what would be written."""
    configs = [value for value in vars(config).values() if dataclasses.is_dataclass(value)]
    page = "\n".join([HEAD, *(section(cls) for cls in configs), *service_sections()])
    if "--check" in sys.argv[1:]:
        return int(not PAGE.exists() or PAGE.read_text() != page)
    PAGE.write_text(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
