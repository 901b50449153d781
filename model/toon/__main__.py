"""``python -m acfd_stream.model.toon PLAN OUT.mp4 --truth OUT.json``: writes a drawn clip and its ground truth."""

from __future__ import annotations

import argparse
import sys
from fractions import Fraction

from ..command_line import Parser
from .clip import render
from .encode import write_clip
from .plans import PLANS


def _size(text: str) -> tuple[int, int]:
    """(height, width) from "1280x720"."""
    width, _, height = text.lower().partition("x")
    try:
        return int(height), int(width)
    except ValueError:
        raise argparse.ArgumentTypeError(f"size must be WIDTHxHEIGHT, got {text!r}") from None


def _rate(text: str) -> Fraction:
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f"fps must be a number or a fraction like 24000/1001, got {text!r}") from None


def _parser() -> Parser:
    parser = Parser(prog="toon", description="Draw a cartoon clip with exact face boxes.")
    parser.add_argument("plan", choices=sorted(PLANS), help="plan of the clip")
    parser.add_argument("output", help="video file to write (.mp4, .mkv …)")
    parser.add_argument("--truth", help="JSON file for boxes, ids, drawings and shot changes")
    parser.add_argument("--seed", type=int, default=0, help="chooses style, characters and scenes (default 0)")
    parser.add_argument("--size", type=_size, default=(720, 1280), help="WIDTHxHEIGHT in pixels (default 1280x720)")
    parser.add_argument("--fps", type=_rate, default=Fraction(24), help="frames per second (default 24)")
    parser.add_argument(
        "--crf", type=int, default=18, choices=range(52), metavar="0…51", help="x264 quality (default 18)"
    )
    parser.add_argument("--bitrate", type=int, help="bits per second, instead of --crf")
    parser.add_argument("--tone", action="store_true", help="add a quiet tone")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 done, 1 the file cannot be written, 2 wrong arguments (argparse)."""
    return _parser().run(_draw, arguments)


def _draw(options: argparse.Namespace) -> None:
    clip = render(options.plan, options.seed, options.size, options.fps)
    truth = write_clip(options.output, clip, options.crf, options.bitrate, options.tone)
    if options.truth:
        truth.save(options.truth)
    appearances = {face.id for frame in truth.frames for face in frame.faces}
    print(f"{options.output}: {len(truth.frames)} frames, {len(appearances)} appearances of faces")


if __name__ == "__main__":
    sys.exit(main())
