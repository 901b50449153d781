"""One contestant in a process of its own, pinned to its cores: a line with an input in, a line with figures out.

A contestant is a module beside this one with ``load(**options) -> (description, look)``: it loads all it needs once;
``look(path)`` then yields, frame by frame, how many boxes it has. This file and those of the peers are run by other
environments than ours, so they import nothing of ours; ``ours.py`` is the only one that does.
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
    """Frames, boxes and seconds of one pass, from opening the input to the last frame's boxes; nothing is left out."""
    frames = boxes = 0
    begin = time.perf_counter()
    for count in look(path):
        frames += 1
        boxes += count
    return {"frames": frames, "boxes": boxes, "seconds": time.perf_counter() - begin}


def main() -> None:
    """Load the contestant, say so, and answer every line of stdin."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("module")
    parser.add_argument("--cores", help="numbers with commas; all if not given")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="for the contestant")
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
