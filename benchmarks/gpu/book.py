"""Where figures are kept while the suite runs: rows, what became of each part, and the machine; saved at every step."""

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
    """One file of results. What an earlier run finished stays in it.

    Args:
        path: a JSON file, made if it is not there.
        is_rehearsal: nothing in it was measured on a GPU; it may not lie among the results.
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
        """What became of ``part``; None: not tried yet."""
        entry = self.values["parts"].get(part)
        return None if entry is None else str(entry["state"])

    def note_machine(self, **facts: Any) -> None:
        """Add to what is known of the machine."""
        self.values["machine"] |= facts
        self.save()

    def note_part(self, part: str, state: str, **facts: Any) -> None:
        """Say what became of a part."""
        self.values["parts"][part] = {"state": state, **facts}
        self.save()

    def add(self, row: dict[str, Any]) -> None:
        """Keep a row in place of an earlier one of its name."""
        rows = [kept for kept in self.values["rows"] if kept["name"] != row["name"]]
        self.values["rows"] = [*rows, row]
        self.save()

    def merge(self, path: Path) -> None:
        """Take over what a part wrote into a book of its own."""
        if path.exists():
            other = json.loads(path.read_text())
            self.values["machine"] |= other["machine"]
            for row in other["rows"]:
                self.add(row)

    def save(self) -> None:
        """Write it all; a reader never sees half of it."""
        self.values["acceptance"] = answers(self.values["rows"])
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_name(self.path.name + ".part")
        part.write_text(json.dumps(self.values, indent=1, ensure_ascii=False) + "\n")
        os.replace(part, self.path)


class Recorder:
    """What a part writes its figures with."""

    def __init__(self, book: Book, device: str) -> None:
        self.book, self._device = book, device

    def row(self, name: str, samples: Sequence[float], unit: str = "s", **parameters: Any) -> dict[str, Any]:
        """Keep a figure with its spread, and say it."""
        row = measure.row(name, samples, unit, **parameters) | {"device": self._device}
        row["commit"] = os.environ.get("ACFD_COMMIT") or row["commit"]
        self.book.add(row)
        spread = f"({row['p5']:g} … {row['p95']:g}, n {row['n']})" if row["n"] > 1 else ""
        print(f"  {name:<34} {row['median']:>12g} {unit:<8} {spread} {parameters}", flush=True)
        return row

    def fact(self, **facts: Any) -> None:
        """Keep what is no figure."""
        self.book.note_machine(**facts)
        print(f"  {facts}", flush=True)
