"""Pages of an archive in a real Chromium: from one to the next, posters, proxies, and the results as files."""

from __future__ import annotations

import contextlib
import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from acfd_stream.outputs import convert, read_results
from acfd_stream.outputs.report import EpisodeRow, write_episode_report, write_index
from acfd_stream.outputs.report.episode import ArchiveFiles
from tests.clips import encode
from tests.outputs.report.browser import DESKTOP, PHONE, Page, wait_for
from tests.outputs.report.drawn import LATE, SIZE, STEADY, Times, draw_clip, result_of_square
from tests.service.chromium import Tab

NAMES = ("s 1/a #1.mp4", "b.mkv", "c.mkv")
POSTER = (36, 64)


def add(folder: Path, name: str, times: Times = STEADY) -> EpisodeRow:
    """A video of an archive with its page; one that ends in .mkv does not play in browsers and has a proxy."""
    (folder / name).parent.mkdir(exist_ok=True)
    results, proxy = folder / f"{name}.jsonl", folder / f"{name}.proxy.mp4"
    result_of_square(results, times, source=name)
    if name.endswith(".mp4"):
        draw_clip(folder / name, times)
    else:
        encode(folder / name, (np.zeros((*SIZE, 3), np.uint8) for _ in times.pts), SIZE)
        draw_clip(proxy, Times(tuple(pts - times.pts[0] for pts in times.pts), times.time_base))
    poster = folder / f"{name}.poster.jpg"
    cv2.imwrite(str(poster), np.full((*POSTER, 3), 200, np.uint8))
    page = folder / f"{name}.report.html"
    files = ArchiveFiles(folder / "index.html", results, proxy)
    write_episode_report(results, folder / name, page, poster=poster, archive=files)
    return EpisodeRow(name, "done", results, page, poster=poster)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive") / "odd & old #1"
    folder.mkdir()
    rows = [add(folder, NAMES[0]), EpisodeRow("failed.mp4", "failing", error="why"), add(folder, NAMES[1], LATE)]
    write_index(folder, [*rows, add(folder, NAMES[2])])
    return folder


def title(tab: Tab, name: str) -> None:
    """Return when the page of this title is there."""

    def is_there() -> bool:
        with contextlib.suppress(AssertionError):  # it cannot be asked while it changes
            return bool(tab.value(f"document.title.startsWith('{name}') && document.body?.dataset.shown"))
        return False

    wait_for(is_there)


def test_pages_lead_to_each_other_and_to_the_index(folder: Path, report_tab: Tab) -> None:
    page = Page(report_tab, folder / f"{NAMES[0]}.report.html")
    page.click("[rel=next]")
    title(report_tab, "b.mkv")  # the video that has no page is left out
    page.click("[rel=next]")
    title(report_tab, "c.mkv")
    page.click("[rel=next]")
    title(report_tab, "odd")  # behind the last one is the index
    report_tab.value("history.back()")
    title(report_tab, "c.mkv")
    page.click("[rel=prev]")
    title(report_tab, "b.mkv")
    page.click("[rel=prev]")
    title(report_tab, "a #1.mp4")
    page.click(".pages a:nth-child(2)")
    title(report_tab, "odd")


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_links_fit_in_every_window(folder: Path, report_tab: Tab, size: tuple[int, int]) -> None:
    for name in (f"{NAMES[0]}.report.html", "index.html"):
        page = Page(report_tab, folder / name, size)
        page.picture(f"archive_{Path(name).stem}_{size[1]}")
        assert page.value("document.documentElement.scrollWidth") <= size[1]


def test_a_video_that_does_not_play_is_played_by_its_proxy(folder: Path, report_tab: Tab) -> None:
    page = Page(report_tab, folder / "b.mkv.report.html")
    assert page.value("document.body.dataset.plays") == "video"
    assert page.value("document.getElementById('video').currentSrc").endswith("b.mkv.proxy.mp4")
    for frame in (0, 20, 7):  # the proxy begins at 0, the video does not
        page.value(f"location.hash = 't={LATE.seconds(frame) - LATE.seconds(0):.4f}'")
        page.wait_for_frame(frame)
        assert page.drawn() == (pytest.approx(frame, abs=0.5), pytest.approx(frame, abs=0.5))
    page = Page(report_tab, folder / "b.mkv.report.html", at="#track=3")
    page.wait_for_frame(20)
    assert page.drawn() == (pytest.approx(20, abs=0.5), pytest.approx(20, abs=0.5))


def test_without_a_proxy_the_boxes_play_alone_and_the_page_says_what_to_do(tmp_path: Path, report_tab: Tab) -> None:
    add(tmp_path, "d.mkv")
    (tmp_path / "d.mkv.proxy.mp4").unlink()
    page = Page(report_tab, tmp_path / "d.mkv.report.html")
    assert page.value("document.body.dataset.plays") == "boxes"
    assert "With --report-proxy, a report has a small copy that plays." in page.read("#no-picture")[0]


def test_posters_stand_before_the_video_and_in_the_index(folder: Path, report_tab: Tab) -> None:
    text = (folder / f"{NAMES[0]}.report.html").read_text()
    assert ' hidden poster="data:image/jpeg;base64,' in text
    page = Page(report_tab, folder / f"{NAMES[0]}.report.html")
    assert page.value("document.getElementById('video').poster") == ""  # it would hide the first frame
    page = Page(report_tab, folder / "index.html")
    report_tab.wait_for("[...document.querySelectorAll('img.poster')].every(image => image.complete)")
    widths = page.value("[...document.querySelectorAll('#rows .poster')].map(image => image.naturalWidth ?? 0)")
    assert widths == [POSTER[1], 0, POSTER[1], POSTER[1]]


def test_the_page_gives_the_results_as_files(folder: Path, report_tab: Tab, tmp_path: Path) -> None:
    page = Page(report_tab, folder / "b.mkv.report.html")
    assert page.value("document.querySelector('.downloads a').getAttribute('href')") == "b.mkv.jsonl"
    report_tab.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    for kind in ("csv", "vtt"):
        page.click(f"#save-{kind}")
        wait_for(lambda: (tmp_path / f"b.mkv.{kind}").exists())  # noqa: B023  # called at once
    rows = list(csv.DictReader((tmp_path / "b.mkv.csv").read_text().splitlines()))
    assert len(rows) == len(LATE.pts)
    assert list(rows[14].values()) == ["14", "3.15", "1", "2", "120", "60", "160", "100", "0.9", "filled"]
    convert(read_results(folder / "b.mkv.jsonl"), tmp_path / "own.vtt", "vtt")
    cues = [block for block in (tmp_path / "own.vtt").read_text().split("\n\n") if " --> " in block]
    assert (tmp_path / "b.mkv.vtt").read_text().split("\n\n") == ["WEBVTT", *cues[:-1], f"{cues[-1]}\n"]
