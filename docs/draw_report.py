"""Write docs/report*.png, docs/folder*.png and docs/overlay.png: reports and an overlay frame of drawn clips.

The boxes come from the shipped network, not from the known truth of the drawing.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from itertools import islice
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the browser is the tests'

import av  # noqa: E402

from acfd_stream.cli import main as run  # noqa: E402
from acfd_stream.model.toon import render, write_clip  # noqa: E402
from docs.pictures import save, shoot  # noqa: E402
from tests.service.chromium import chromium  # noqa: E402

CLIPS = {  # name → plan, seed, frames a second
    "season 1/the hill.mp4": ("demo", 0, 24),
    "season 1/market day.mp4": ("crowd", 3, 12),
    "season 1/a quarrel.mp4": ("cuts", 5, 12),
    "season 1/night falls.mp4": ("fades", 2, 12),
    "season 2/thunder.mp4": ("flashes", 8, 12),
    "season 2/on threes.mp4": ("threes", 11, 12),
    "season 2/a quiet morning.mp4": ("quiet", 4, 12),
}
MOMENT = "#track=3"
SHOWN = (
    "document.body?.dataset.shown && document.body.dataset.plays !== '' && !document.querySelector('#video')?.seeking"
)
OVERLAY = ("season 1/market day.mp4", 60)  # clip, frame


def draw(folder: Path) -> None:
    """Clips, one that is cut off in the middle, and one of which next to nothing is left."""
    for name, (plan, seed, fps) in CLIPS.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_clip(path, render(plan, seed, (540, 960), fps))
    whole = folder.with_name("whole.mkv")
    write_clip(whole, render("threes", 20, (540, 960), 12))
    (folder / "season 2/finale.mkv").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (folder / "season 2/outtakes.mp4").write_bytes((folder / "season 1/the hill.mp4").read_bytes()[:50_000])


def keep_overlay(out: Path) -> None:
    """One frame of an overlay video."""
    name, index = OVERLAY
    with av.open(str(out / f"{name}.overlay.mp4")) as video:
        frame = next(islice(video.decode(video=0), index, None))
        save(frame.to_image(), "overlay")


def main() -> None:
    """Draw the clips, track them, write the reports and take the pictures."""
    with tempfile.TemporaryDirectory() as scratch, contextlib.chdir(scratch):
        draw(Path("films"))
        run(["archive", "run", "films", "--out", "shows", "--outputs", "jsonl,overlay", "--report"])
        out = Path("shows").resolve()
        keep_overlay(out)
        report = out / "season 1/the hill.mp4.report.html"
        with chromium(Path(scratch, "chromium")) as tab:
            shoot(tab, report.as_uri() + MOMENT, "report", SHOWN)
            shoot(tab, (out / "index.html").as_uri(), "folder", SHOWN)


if __name__ == "__main__":
    main()
