"""``python -m acfd_stream.model.toon PLAN OUT.mp4 --truth OUT.json``: writes a drawn clip and its ground truth.

The plan ``episode`` draws an episode of a show: ``episode OUT.mp4 --seed 1 --cast-seed 7 --minutes 5``.
"""

from __future__ import annotations

import argparse
import sys
from fractions import Fraction
from functools import partial

from ..command_line import Parser
from .clip import Clip, render
from .encode import write_clip
from .episodes import render_episode
from .plans import PLANS

_EPISODE = "episode"
_EPISODE_OPTIONS = ("cast_seed", "minutes", "strangers")


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
    parser.add_argument("plan", choices=sorted([*PLANS, _EPISODE]), help="plan of the clip")
    parser.add_argument("output", help="video file to write (.mp4, .mkv …)")
    parser.add_argument("--truth", help="JSON file for boxes, ids, drawings and shot changes")
    parser.add_argument("--seed", type=int, default=0, help="chooses style, characters and scenes (default 0)")
    parser.add_argument("--size", type=_size, help="WIDTHxHEIGHT in pixels (default 1280x720, an episode 640x360)")
    parser.add_argument("--fps", type=_rate, help="frames per second (default 24, an episode always)")
    parser.add_argument("--cast-seed", type=int, help="of an episode: chooses the characters of the show (default 0)")
    parser.add_argument("--minutes", type=float, help="of an episode: its length (default 5)")
    parser.add_argument("--strangers", type=int, help="of an episode: characters of one scene only (default 0)")
    parser.add_argument(
        "--crf", type=int, default=18, choices=range(52), metavar="0…51", help="x264 quality (default 18)"
    )
    parser.add_argument("--bitrate", type=int, help="bits per second, instead of --crf")
    parser.add_argument("--tone", action="store_true", help="add a quiet tone")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 done, 1 the file cannot be written, 2 wrong arguments (argparse)."""
    parser = _parser()
    return parser.run(partial(_draw, parser), arguments)


def _clip(parser: Parser, options: argparse.Namespace) -> Clip:
    own = {name: value for name in _EPISODE_OPTIONS if (value := getattr(options, name)) is not None}
    size = {} if options.size is None else {"size": options.size}
    rate = {} if options.fps is None else {"fps": options.fps}
    if options.plan == _EPISODE:
        if rate:
            parser.error("an episode has 24 frames per second: leave --fps out")
        return render_episode(options.seed, **own, **size)
    if own:
        parser.error(f"--{next(iter(own)).replace('_', '-')} is for an episode only, not for {options.plan}")
    return render(options.plan, options.seed, **size, **rate)


def _draw(parser: Parser, options: argparse.Namespace) -> None:
    clip = _clip(parser, options)
    truth = write_clip(options.output, clip, options.crf, options.bitrate, options.tone)
    if options.truth:
        truth.save(options.truth)
    appearances = {face.id for frame in truth.frames for face in frame.faces}
    print(f"{options.output}: {len(truth.frames)} frames, {len(appearances)} appearances of faces")


if __name__ == "__main__":
    sys.exit(main())
