"""Write docs/report*.png, docs/folder*.png and docs/overlay.png: reports and an overlay frame of drawn clips.

Boxes and characters come from the shipped networks, not from the known truth of the drawing. The names are ours.
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

from acfd_stream import Cast  # noqa: E402
from acfd_stream.cli import main as run  # noqa: E402
from acfd_stream.model.toon import render, write_clip  # noqa: E402
from acfd_stream.model.toon.episodes import render_episode  # noqa: E402
from docs.pictures import save, shoot  # noqa: E402
from tests.service.chromium import chromium  # noqa: E402

EPISODES = {"season 1/pilot.mp4": 1, "season 1/market day.mp4": 2, "season 1/night falls.mp4": 3}  # name → seed
SHOW = 0  # its cast
MINUTES = 1
SIZE = (432, 768)
CLIPS = {  # name → plan, seed, frames a second
    "specials/the hill.mp4": ("demo", 0, 24),
    "specials/the fair.mp4": ("crowd", 3, 12),
    "specials/thunder.mp4": ("flashes", 8, 12),
    "specials/on threes.mp4": ("threes", 11, 12),
    "specials/a quiet morning.mp4": ("quiet", 4, 12),
}
REPORTED = "specials/the hill.mp4"
MOMENT = 1.7  # seconds: three characters are in the picture
NAMES = ("Ada", "Bruno", "Cleo", "Dario", "Edda", "Filip", "Greta", "Hugo", "Ines", "Jonas")
SHOWN = (
    "document.body?.dataset.shown && document.body.dataset.plays !== '' && !document.querySelector('#video')?.seeking"
)
OVERLAY = ("specials/the fair.mp4", 60)  # clip, frame


def draw(folder: Path) -> None:
    """Episodes, clips, one that is cut off in the middle, and one of which next to nothing is left."""
    for name in (*EPISODES, *CLIPS):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    for name, seed in EPISODES.items():
        write_clip(folder / name, render_episode(seed, SHOW, MINUTES, size=SIZE))
    for name, (plan, seed, fps) in CLIPS.items():
        write_clip(folder / name, render(plan, seed, (540, 960), fps))
    whole = folder.with_name("whole.mkv")
    write_clip(whole, render("threes", 20, (540, 960), 12))
    (folder / "specials/finale.mkv").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (folder / "specials/outtakes.mp4").write_bytes((folder / "specials/the fair.mp4").read_bytes()[:50_000])


def give_names(out: Path) -> None:
    """Make a cast of the archive ``out``, name its members, and write the names into results and pages.

    Names go to three of the reported clip, then to those with the most tracks.
    """
    run(["cast", "build", str(out), "--to", "season.db"])
    with Cast.open("season.db") as cast:
        most = sorted(cast.members(), key=lambda member: (-member.tracks, member.number))
        reported = [each for each in most if any(REPORTED in place.source for place in each.appearances)][:3]
        others = [each for each in most if not any(REPORTED in place.source for place in each.appearances)]
        for name, member in zip(NAMES, (*reported, *others), strict=False):
            cast.name(member.number, name)
    run(["cast", "apply", "season.db", str(out)])
    run(["archive", "resume", str(out)])


def keep_overlay(out: Path) -> None:
    """One frame of an overlay video."""
    name, index = OVERLAY
    with av.open(str(out / f"{name}.overlay.mp4")) as video:
        frame = next(islice(video.decode(video=0), index, None))
        save(frame.to_image(), "overlay")


def moment_of(out: Path, name: str) -> str:
    """The address of ``MOMENT`` in a report, with the character that is longest on screen."""
    from acfd_stream.outputs.report import read_summary

    page = out / f"{name}.report.html"
    summary = read_summary(page)
    return (
        f"{page.as_uri()}#t={MOMENT}&character={summary.characters[0].number if summary and summary.characters else 1}"
    )


def main() -> None:
    """Draw the clips, track them, write the reports and take the pictures."""
    with tempfile.TemporaryDirectory() as scratch, contextlib.chdir(scratch):
        draw(Path("films"))
        run(["archive", "run", "films", "--out", "shows", "--outputs", "jsonl,overlay", "--report"])
        out = Path("shows").resolve()
        give_names(out)
        keep_overlay(out)
        with chromium(Path(scratch, "chromium")) as tab:
            shoot(tab, moment_of(out, REPORTED), "report", SHOWN)
            shoot(tab, (out / "index.html").as_uri(), "folder", SHOWN)


if __name__ == "__main__":
    main()
