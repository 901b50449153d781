"""Writes one self-contained HTML file with its style, script and data, and a policy for what may run in it.

Names, errors and file names are untrusted. The template escapes them, data is in blocks that browsers do not run, and a
content security policy allows only the embedded script, by its digest.
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

_PIECE_BYTES = 64 * 1024
_MEDIA = "'self' file: http: https: data: blob:"
# Characters that end a data block or a script line are escaped; the text has the same meaning.
_ESCAPES = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}


def write_page(target: Path, template: str, scripts: tuple[str, ...], styles: tuple[str, ...], **values: Any) -> None:
    """Fill ``template``, write it, and rename it to ``target`` when complete.

    Args:
        target: the HTML file, replaced if there is one.
        template: name of a file in ``page/``.
        scripts: names of files in ``page/``, joined into one module in this order.
        styles: the same, for the style sheet.
        **values: variables of the template.

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
    """``values`` as JSON that is safe inside ``<script type="application/json">``."""
    return json.dumps(values, ensure_ascii=True, allow_nan=False, separators=(",", ":")).translate(_ESCAPES)


def read_block(page: Path, id: str, most_bytes: int) -> Any:
    """The value of a data block of ``page``; None if there is none within its first ``most_bytes``.

    Raises:
        OSError: the file cannot be read.
        ValueError: the block is damaged.
    """
    mark, end = f'<script type="application/json" id="{id}">'.encode(), b"</script>"
    head, begin, until = b"", -1, -1
    with page.open("rb") as file:
        while until < 0 and len(head) < most_bytes and (more := file.read(_PIECE_BYTES)):
            seen = max(0, len(head) - len(mark))  # a mark may lie on the edge of two pieces
            head += more
            if begin < 0 and (place := head.find(mark, seen)) >= 0:
                begin = place + len(mark)
            if begin >= 0:
                until = head.find(end, max(begin, seen))
    return None if until < 0 else json.loads(head[begin:until])


def relative_url(place: str | Path, page: Path) -> str:
    """The URL of the file ``place`` relative to ``page``, so that both can be moved together."""
    path = os.path.relpath(os.path.abspath(place), os.path.dirname(os.path.abspath(page)))
    return quote(os.fsencode(path))


def data_url(kind: str, content: bytes) -> str:
    """``content`` as a data URL."""
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
