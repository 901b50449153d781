"""Tables from ``characters.json`` for docs/characters.md: one line per episode and answer, the cost, the names."""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]

ANSWERS = {"online": "online", "final": "in the end"}


def _linking(rows: list[Row]) -> list[str]:
    figures: dict[tuple[int, int, str], dict[str, float]] = {}
    for row in rows:
        about = row["parameters"]
        if about["part"] == "linking":
            key = (about["episode"], about["strangers"], about["answer"])
            figures.setdefault(key, {})[row["name"].removeprefix("characters_")] = row["median"]
    if not figures:
        return []
    lines = [
        "| episode | characters, as said | BCubed F1 | precision | recall | faces without a character | characters "
        "| of the truth | frames with one twice |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for (episode, strangers, answer), said in figures.items():
        title = f"{episode}, with {strangers} strangers" if strangers else str(episode)
        scores = " | ".join(f"{said[name]:.3f}" for name in ("f1", "precision", "recall"))
        counts = " | ".join(f"{said[name]:.0f}" for name in ("number", "number_expected", "shared"))
        lines.append(f"| {title} | {ANSWERS[answer]} | {scores} | {said['unknown']:.1%} | {counts} |")
    return [*lines, ""]


def _names(rows: list[Row]) -> list[str]:
    figures: dict[int, dict[str, float]] = {}
    for row in rows:
        about = row["parameters"]
        if about["part"] == "names":
            figures.setdefault(about["episode"], {})[row["name"].removeprefix("characters_names_")] = row["median"]
    if not figures:
        return []
    lines = ["| episode, with the cast of episode 1 | right name | wrong name | no name | strangers with a name |"]
    lines += ["|---|---|---|---|---|"]
    for episode, said in figures.items():
        stranger = f"{said['strangers']:.1%}" if "strangers" in said else ""
        lines.append(f"| {episode} | {said['right']:.1%} | {said['wrong']:.1%} | {said['none']:.1%} | {stranger} |")
    return [*lines, ""]


def _costs(rows: list[Row]) -> list[str]:
    costs = []
    for row in rows:
        about = row["parameters"]
        if about["part"] == "cost":
            spread = (
                f"{row['p5']:.3f} … {row['p95']:.3f}, {row['n']} rounds, {about['frames']} frames of {about['film']}"
            )
            costs.append(f"CPU time of `track` with characters: {row['median']:.3f} times that without ({spread}).")
    return [*costs, ""] if costs else []


def characters_tables(rows: list[Row]) -> str:
    """All tables, and where the figures were measured."""
    places = sorted({f"{row['device']}, commit {row['commit']}" for row in rows})
    return "\n".join([*_linking(rows), *_names(rows), *_costs(rows), *(f"Measured on: {place}." for place in places)])
