"""``python -m acfd_stream.model.identity.evaluate``: scores of an embedding on shows that it has not learned from."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ..command_line import Parser, at_least


def _parser() -> Parser:
    parser = Parser(prog="python -m acfd_stream.model.identity.evaluate", description=main.__doc__)
    parser.add_argument(
        "model", help="acfd-id, an .onnx, .pt or .safetensors file, or the baseline colours or imagenet"
    )
    parser.add_argument("shows", nargs="+", metavar="show", help="as in the column show of the table")
    parser.add_argument("--table", type=Path, required=True, help="CSV file of crops: file, show, character, quality")
    parser.add_argument("--config", type=Path, help="the TOML file that weights were trained with")
    parser.add_argument("--threads", type=at_least(1), help="CPU threads of torch; default: one per core")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _evaluate(options: argparse.Namespace) -> None:
    import torch

    from .crops import read_characters
    from .predict import open_embed
    from .scoring import mean_score, score

    if options.threads:
        torch.set_num_threads(options.threads)
    embed = open_embed(options.model, options.config)
    scores = {}
    for crops in read_characters(options.table).of_shows(options.shows).by_show():
        scores[crops.shows[0]] = score(embed, crops)
        if not options.json:
            one = scores[crops.shows[0]]
            print(
                f"{crops.shows[0]}: AUC {one.auc:.3f}, accepted at 1 % false {one.accept_rate:.3f}, rank-1 with 5 views"
                f" {one.rank_one:.3f} ({one.crops} crops, {one.characters} characters, threshold {one.threshold:.3f})",
                flush=True,
            )
    mean = mean_score(list(scores.values()))
    if options.json:
        print(json.dumps({"shows": {name: asdict(one) for name, one in scores.items()}, "mean": mean}))
    else:
        print(f"mean: AUC {mean['auc']:.3f}, {mean['accept_rate']:.3f}, {mean['rank_one']:.3f}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Verification and identification scores per show, over all pairs of crops within a show."""
    return _parser().run(_evaluate, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
