"""The page of a folder in a real Chromium, and what is in it without one."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from acfd_stream.errors import ConfigError
from acfd_stream.outputs import ResultEnd
from acfd_stream.outputs.report import EpisodeRow, write_episode_report, write_index
from tests.outputs.report.browser import DESKTOP, PHONE, Page
from tests.outputs.report.drawn import STEADY, frame_of, result_of_square, square, write_result
from tests.service.chromium import Tab

EVIL = "</script><script>document.title='x'</script>&amp;'\"<b>"
STAGES = {"decode": 0.32, "queue": 9.0, "infer": 0.96}


def done_row(folder: Path, name: str, **more: object) -> EpisodeRow:
    """A video that is done, with its report."""
    results = folder / f"{name}.jsonl"
    results.parent.mkdir(parents=True, exist_ok=True)
    result_of_square(results, STEADY, source=name)
    report, pictures = folder / f"{name}.report.html", folder / "pictures"
    pictures.mkdir(exist_ok=True)
    cv2.imwrite(str(pictures / "1.jpg"), np.zeros((8, 8, 3), np.uint8))
    write_episode_report(results, None, report, pictures)
    given = {"seconds": 2.0, "frames": 32, "stage_seconds": STAGES} | more
    return EpisodeRow(name, "done", results, report, folder / f"{name}.thumbnails", **given)  # type: ignore[arg-type]


def short_row(folder: Path) -> EpisodeRow:
    """A video that is done, without a report: half of its second has a face."""
    frames = [frame_of(STEADY, index, [square(1, index)][: index < 4]) for index in range(8)]
    results = write_result(folder / "b.mkv.jsonl", frames, STEADY.time_base)
    return EpisodeRow("b.mkv", "done", results, folder / "b.mkv.report.html")


def broken_row(folder: Path) -> EpisodeRow:
    """A video that broke after a second, whose good part is kept."""
    frames = [frame_of(STEADY, index) for index in range(8)]
    end = ResultEnd(0, is_complete=False, error="broke")
    results = write_result(folder / "c.mp4.jsonl", frames, STEADY.time_base, end)
    return EpisodeRow(f"c{EVIL}.mp4", "broken", results, error=f"/a/c{EVIL}.mp4: {EVIL} is damaged; copy it again")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("show") / "odd & old #1"
    folder.mkdir()
    rows = [
        done_row(folder, "season 1/a #1.mkv"),
        short_row(folder),
        broken_row(folder),
        EpisodeRow("d.mp4", "failing", error="disk of d.mp4: no room; make room", attempts=3),
        EpisodeRow("e.mp4", "waiting"),
    ]
    (folder / "season 1/a #1.mkv.thumbnails").mkdir()
    cv2.imwrite(str(folder / "season 1/a #1.mkv.thumbnails/3.jpg"), np.full((9, 9, 3), 255, np.uint8))
    assert write_index(folder, rows) == folder / "index.html"
    return folder


@pytest.fixture
def page(report_tab: Tab, folder: Path) -> Page:
    return Page(report_tab, folder / "index.html")


def test_it_says_first_what_is_done_and_what_is_not(page: Page) -> None:
    assert page.read("h1") == ["odd & old #1"]
    assert page.read(".verdict") == ["2 of 5 videos are done. 1 is broken. 1 failed and will be retried. 1 is pending."]
    assert page.read(".failures li b") == [f"c{EVIL}.mp4", "d.mp4"]
    assert page.read(".failures li p") == [
        f"{EVIL} is damaged; copy it again The first 0:01.0 are kept.",
        "disk of d.mp4: no room; make room 3 attempts.",
    ]


def test_figures_are_of_all_that_is_done(page: Page) -> None:
    figures = dict(zip(page.read(".figures dt"), page.read(".figures dd"), strict=True))
    assert figures == {
        "Video": "5.0 s", "Faces on screen": "90 % 4.5 s", "Tracks": "4", "Shots": "4",
        "Tracked at": "16.0 frames/s", "Processing time": "2.0 s 2.0 × real time",
    }  # fmt: skip
    assert page.read(".stages .name, .stages .value") == ["decode", "10.00 ms", "network", "30.00 ms"]


def test_charts_lead_to_the_reports(page: Page) -> None:
    assert page.read("[aria-labelledby=bars-title] li") == ["season 1/a #1.mkv0:04.0", "b.mkv0:00.5"]
    lengths = [text for text in page.read("[aria-labelledby=lengths-title] li") if "0 tracks" not in text]
    assert lengths == ["under 1 s 1 track0.5 s", "1–2 s 3 tracks4.0 s"]
    longest = page.read("[aria-labelledby=longest-title] li")
    assert longest[0] == "season 1/a #1.mkv track 30:01.5"
    assert page.value("[...document.querySelectorAll('.faces img')].map(image => image.naturalWidth)") == [9, 8]
    address = page.value("document.querySelector('[aria-labelledby=longest-title] a').getAttribute('href')")
    assert address == "season%201/a%20%231.mkv.report.html#track=3"
    page.tab.open(page.value(f"new URL('{address}', location).href"), DESKTOP)
    page.tab.wait_for("document.getElementById('picked-title')?.textContent === 'Track 3'")


def test_the_table_is_found_in_sorted_and_narrowed(page: Page) -> None:
    names = ["season 1/a #1.mkv", "b.mkv", f"c{EVIL}.mp4broken", "d.mp4failing", "e.mp4waiting"]
    assert page.read("#rows th") == names
    assert page.read("#rows tr:nth-child(2) td") == ["", "0:01", "50 %", "1", "1", "–"]
    page.click("[data-key=f]")
    assert page.read("#rows th")[:2] == names[:2]
    page.click("[data-key=f]")
    assert page.read("#rows th")[-1] == names[0]
    page.set("state", "failing")
    assert page.read("#rows th, #rows .why") == ["d.mp4failing", "disk of d.mp4: no room; make room"]
    page.set("state", "")
    page.set("search", "B.MK")
    assert page.read("#rows th, #shown") == ["1 of 5", "b.mkv"]


def test_names_and_reasons_are_never_code(page: Page, folder: Path) -> None:
    assert page.value("document.title") == "odd & old #1 · face tracks"
    assert page.value("document.querySelectorAll('b b, script:not([type])').length") == 0
    text = (folder / "index.html").read_text()
    assert len(re.findall("<script", text)) == 2


@pytest.mark.parametrize(("size", "scheme"), [(DESKTOP, "dark"), ((1000, 900), "light"), (PHONE, "light")])
def test_it_fits_by_day_and_by_night(size: tuple[int, int], scheme: str, folder: Path, report_tab: Tab) -> None:
    page = Page(report_tab, folder / "index.html", size, scheme)
    image = page.picture(f"folder_{size[1]}_{scheme}")
    assert page.value("document.documentElement.scrollWidth") <= size[1]
    assert (float(np.median(image[-60:])) > 200) == (scheme == "light")


def test_ten_thousand_videos_are_no_burden(folder: Path, report_tab: Tab) -> None:
    row = EpisodeRow("season 1/a #1.mkv", "done", None, folder / "season 1/a #1.mkv.report.html")
    rows = [row] * 5_000 + [EpisodeRow(f"{index}.mkv", "waiting") for index in range(5_000)]
    page = Page(report_tab, write_index(folder, rows, folder / "many.html"))
    assert page.read("#shown") == ["10,000"]
    before = page.value("document.querySelectorAll('#rows tr').length")
    assert before <= 200
    page.value("scrollTo(0, 1e6)")
    page.tab.wait_for(f"document.querySelectorAll('#rows tr').length > {before}")


def test_a_folder_without_videos_says_so(tmp_path: Path) -> None:
    assert "There are no videos." in write_index(tmp_path, []).read_text()


def test_a_state_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ConfigError, match="state must be one of done, broken"):
        EpisodeRow("a", "lost")
