"""Result file of a running suite: rows, the state of each part, and the machine; saved at every step."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import measure

from gpu.acceptance import answers

DONE, FAILED, SKIPPED = "done", "failed", "skipped"


class Book:
    """One result file. It keeps what an earlier run finished.

    Args:
        path: a JSON file, created if missing.
        is_rehearsal: nothing in it was measured on a GPU; it must not be in the results folder.
    """

    def __init__(self, path: Path, *, is_rehearsal: bool) -> None:
        if is_rehearsal and measure.RESULTS in path.resolve().parents:
            raise ValueError(f"a rehearsal does not belong into {measure.RESULTS}; choose another --out")
        self.path = path
        self.values: dict[str, Any] = {"rehearsal": is_rehearsal, "machine": {}, "parts": {}, "rows": []}
        if path.exists():
            kept = json.loads(path.read_text())
            if kept["rehearsal"] != is_rehearsal:
                raise ValueError(f"{path} is of a {'rehearsal' if kept['rehearsal'] else 'real run'}; choose another")
            self.values |= {key: kept[key] for key in ("machine", "parts", "rows")}

    def state(self, part: str) -> str | None:
        """State of ``part``; None: not run yet."""
        entry = self.values["parts"].get(part)
        return None if entry is None else str(entry["state"])

    def note_machine(self, **facts: Any) -> None:
        """Add facts about the machine."""
        self.values["machine"] |= facts
        self.save()

    def note_part(self, part: str, state: str, **facts: Any) -> None:
        """Set the state of a part."""
        self.values["parts"][part] = {"state": state, **facts}
        self.save()

    def add(self, row: dict[str, Any]) -> None:
        """Add a row; replaces an earlier one of the same name."""
        rows = [kept for kept in self.values["rows"] if kept["name"] != row["name"]]
        self.values["rows"] = [*rows, row]
        self.save()

    def merge(self, path: Path) -> None:
        """Add everything that a part wrote to its own file."""
        if path.exists():
            other = json.loads(path.read_text())
            self.values["machine"] |= other["machine"]
            for row in other["rows"]:
                self.add(row)

    def save(self) -> None:
        """Write the file atomically."""
        self.values["acceptance"] = answers(self.values["rows"])
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_name(self.path.name + ".part")
        part.write_text(json.dumps(self.values, indent=1, ensure_ascii=False) + "\n")
        os.replace(part, self.path)


class Recorder:
    """Writes the figures of a part."""

    def __init__(self, book: Book, device: str) -> None:
        self.book, self._device = book, device

    def row(self, name: str, samples: Sequence[float], unit: str = "s", **parameters: Any) -> dict[str, Any]:
        """Save a figure with its spread, and print it."""
        row = measure.row(name, samples, unit, **parameters) | {"device": self._device}
        row["commit"] = os.environ.get("ACFD_COMMIT") or row["commit"]
        self.book.add(row)
        spread = f"({row['p5']:g} … {row['p95']:g}, n {row['n']})" if row["n"] > 1 else ""
        print(f"  {name:<34} {row['median']:>12g} {unit:<8} {spread} {parameters}", flush=True)
        return row

    def fact(self, **facts: Any) -> None:
        """Save and print other facts."""
        self.book.note_machine(**facts)
        print(f"  {facts}", flush=True)
