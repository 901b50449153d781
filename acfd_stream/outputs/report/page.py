"""One HTML file that holds all it needs: its style, its script, its data; and what may run in it is written in it.

Names, errors and file names come from strangers. The template escapes them, data stands in blocks that no browser
runs, and a policy in the page lets nothing run but the very script that was put in, by its digest.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from acfd_stream.outputs.report import text_format
from acfd_stream.outputs.target import OutputTarget

if TYPE_CHECKING:
    from jinja2 import Environment

_MEDIA = "'self' file: http: https: data: blob:"
# What ends a block of data, or a line of a script, is written as an escape: the text means the same.
_ESCAPES = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}


def write_page(target: Path, template: str, scripts: tuple[str, ...], styles: tuple[str, ...], **values: Any) -> None:
    """Fill ``template`` and give it the name ``target`` when all of it is written.

    Args:
        target: the HTML file, replaced if there is one.
        template: name of a file in ``page/``.
        scripts: names of files in ``page/``, which become one module in this order.
        styles: the same, for the style sheet.
        **values: what the template names.

    Raises:
        OutputError: it cannot be written.
    """
    script, style = ("\n".join(_text(name) for name in names) for names in (scripts, styles))
    policy = (
        f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(style)}; "
        f"img-src {_MEDIA}; media-src {_MEDIA}; base-uri 'none'; form-action 'none'"
    )
    page = _environment().get_template(template).render(script=script, style=style, policy=policy, **values)
    output = OutputTarget(target, is_streamed=False)
    output.write(page.encode("utf-8", "replace"))
    output.finish()


def data_block(values: Mapping[str, Any]) -> str:
    """``values`` as JSON that can stand inside ``<script type="application/json">``, whatever text it holds."""
    return json.dumps(values, ensure_ascii=True, allow_nan=False, separators=(",", ":")).translate(_ESCAPES)


def relative_url(place: str | Path, page: Path) -> str:
    """How ``page`` names the file ``place``: relative to its own folder, so that both can be moved together."""
    path = os.path.relpath(os.path.abspath(place), os.path.dirname(os.path.abspath(page)))
    return quote(os.fsencode(path))


def data_url(kind: str, content: bytes) -> str:
    """``content`` as an address that needs no file."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"


@cache
def _text(name: str) -> str:
    return files("acfd_stream.outputs.report").joinpath("page", name).read_text("utf-8")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(_text), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "clock": text_format.clock,
        "long_time": text_format.long_time,
        "percent": text_format.percent,
        "count": text_format.count,
        "shown": text_format.shown_text,
        "stage": text_format.stage_name,
    }
    return environment
