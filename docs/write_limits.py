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
from acfd_stream.characters import CharacterConfig
from acfd_stream.service.settings import ServiceSettings

PAGE = Path(__file__).resolve().parent / "limits.md"
HEAD = """# Settings and limits

This page lists every setting of the library and of the service. `python docs/write_limits.py` generates it from the
source, and a test compares the two. The [settings of the service](#the-service) are in the second half.

A value of another type or outside its range raises `ConfigError` when the config is created. No value is adjusted
silently.

[files.md](files.md) lists what is done with unusual files. When a limit takes effect, the output shows it:

- Too many candidates or faces: the frame has `is_truncated` set, if the limit cut off a score of at least `keep_score`.
- A frame with too many pixels: one line on stderr and exit code 1.
- A filled gap: the faces have `"state": "filled"`.
- A full queue: decoding pauses. No frame of a file is ever dropped.
"""


def field_docs(cls: type) -> dict[str, str]:
    """Map from each field, inherited ones included, to its docstring in the source."""
    docs = {}
    for owner in reversed([base for base in cls.__mro__ if dataclasses.is_dataclass(base)]):
        tree = ast.parse(Path(inspect.getfile(owner)).read_text())
        body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == owner.__name__)
        for field, text in pairwise(body):
            is_documented = isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and is_documented:
                docs[field.target.id] = " ".join(str(text.value.value).split()).replace("``", "`").replace("|", "\\|")
    return docs


SERVICE = """## The service

`acfd-stream serve --config serve.toml` reads these settings. An unknown key is an error, and a command-line option
overrides the file. The settings of the next section are at the top of the file. Every other section is a TOML table.
These tables have the settings of a config above:

{shared}
"""


def section(cls: type, title: str = "") -> str:
    """The table of one config, without the fields that are configs themselves."""
    lines = [f"## {title or cls.__name__}", "", str(cls.__doc__).splitlines()[0].replace("``", "`"), ""]
    lines += ["| setting | default | meaning, unit, range |", "|---|---|---|"]
    docs = field_docs(cls)
    fields = [field for field in dataclasses.fields(cls) if field.name not in tables(cls)]
    lines += [f"| `{field.name}` | `{field.default}` | {docs[field.name]} |" for field in fields]
    return "\n".join(lines) + "\n"


def tables(cls: type) -> dict[str, type]:
    """Fields of a config that are configs themselves."""
    return {name: hint for name, hint in get_type_hints(cls).items() if dataclasses.is_dataclass(hint)}


def service_sections() -> list[str]:
    """Head and tables of the settings that a file of the service may contain."""
    own = {name: cls for name, cls in tables(ServiceSettings).items() if cls.__module__ != config.__name__}
    shared = {name: cls for name, cls in tables(ServiceSettings).items() if name not in own}
    head = SERVICE.format(shared="\n".join(f"- `[{name}]`: {cls.__name__}" for name, cls in shared.items()))
    return [head, section(ServiceSettings, "serve.toml"), *(section(cls, f"[{name}]") for name, cls in own.items())]


def main() -> int:
    """Write the page; with ``--check`` only return 1 if it is out of date."""
    configs = [value for value in vars(config).values() if dataclasses.is_dataclass(value)]
    page = "\n".join([HEAD, *(section(cls) for cls in (*configs, CharacterConfig)), *service_sections()])
    if "--check" in sys.argv[1:]:
        return int(not PAGE.exists() or PAGE.read_text() != page)
    PAGE.write_text(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
