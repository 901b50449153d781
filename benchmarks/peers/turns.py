"""Runs one contestant in its own process, pinned to its cores: reads an input path per line, writes figures per line.

A contestant is a module in this folder with ``load(**options) -> (description, look)``: it loads everything once.
``look(path)`` then yields the number of boxes frame by frame. This file and the peers run in another environment, so
they import nothing of ours; only ``ours.py`` does.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

Look = Callable[[Path], Iterator[int]]


def one_pass(look: Look, path: Path) -> dict[str, Any]:
    """Frames, boxes and seconds of one pass, from opening the input to the last frame's boxes."""
    frames = boxes = 0
    begin = time.perf_counter()
    for count in look(path):
        frames += 1
        boxes += count
    return {"frames": frames, "boxes": boxes, "seconds": time.perf_counter() - begin}


def main() -> None:
    """Load the contestant, report it, and answer every line of stdin."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("module")
    parser.add_argument("--cores", help="core numbers, comma-separated; default: all")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="option of the contestant")
    arguments = parser.parse_args()
    if arguments.cores:  # before anything is imported, so that every library counts these and no others
        os.sched_setaffinity(0, [int(core) for core in arguments.cores.split(",")])
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print is not an answer
    options = dict(option.split("=", 1) for option in arguments.option)
    description, look = import_module(arguments.module).load(**options)
    print(json.dumps({"description": description}), file=answers)
    for line in sys.stdin:
        print(json.dumps(one_pass(look, Path(line.rstrip("\n")))), file=answers)


if __name__ == "__main__":
    main()
