"""Names of files in tables: shortened in the middle, because they often differ only at their ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.measure import Measurement

_LEAST = 12  # columns of a name in a narrow table
ELLIPSIS = "…"


def shortened(name: str, columns: int) -> str:
    """``name`` in at most ``columns`` columns of a terminal, with an ellipsis in its middle if it is longer."""
    from rich.cells import cell_len, set_cell_size

    if cell_len(name) <= columns:
        return name
    end = max(0, columns - len(ELLIPSIS)) // 2
    begin = max(0, columns - len(ELLIPSIS) - end)
    tail = set_cell_size(name[::-1], end)[::-1] if end else ""
    return (set_cell_size(name, begin).rstrip() + ELLIPSIS + tail.lstrip())[: max(columns, 0)]


class Name:
    """A name that Rich shortens to the room that it has."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        yield Text(shortened(self._name, options.max_width), no_wrap=True)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        from rich.cells import cell_len
        from rich.measure import Measurement

        width = min(cell_len(self._name), options.max_width)
        return Measurement(min(_LEAST, width), width)
