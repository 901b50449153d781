"""Who is in which video, in the page of a folder in a real Chromium."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from acfd_stream.outputs.report import EpisodeRow, write_episode_report, write_index
from tests.outputs.report.browser import DESKTOP, PHONE, Page
from tests.outputs.report.drawn import STEADY, result_of_characters, result_of_square
from tests.service.chromium import Tab

EVIL = "</script><script>document.title='x'</script><b>"
NAMES: dict[str, dict[int, str]] = {
    "a #1.mkv": {1: "Velma"},  # eleven seconds
    "b.mkv": {2: "Velma", 1: "Shaggy"},
    "c.mkv": {},
    "d.mkv": {3: EVIL},
}


def row_of(folder: Path, name: str, names: dict[int, str]) -> EpisodeRow:
    results, report = folder / f"{name}.jsonl", folder / f"{name}.report.html"
    result_of_characters(results, names, source=name)
    write_episode_report(results, None, report, folder / "pictures")
    return EpisodeRow(name, "done", results, report)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four videos with characters, one without, one that waits; three tracks have pictures."""
    folder = tmp_path_factory.mktemp("season")
    (folder / "pictures").mkdir()
    for track in (1, 2, 3):
        cv2.imwrite(str(folder / f"pictures/{track}.jpg"), np.full((9, 9, 3), 40 * track, np.uint8))
    rows = [row_of(folder, name, names) for name, names in NAMES.items()]
    plain = EpisodeRow("e.mkv", "done", result_of_square(folder / "e.mkv.jsonl", STEADY))
    write_index(folder, [*rows, plain, EpisodeRow("f.mkv", "waiting")])
    return folder


@pytest.fixture
def page(report_tab: Tab, folder: Path) -> Page:
    return Page(report_tab, folder / "index.html")


def names_of(page: Page) -> list[str]:
    return page.read("#rows th")


def test_named_characters_stand_above_with_their_time_in_all_videos(page: Page) -> None:
    assert page.read("#cast li") == ["Velma0:16 · 2 videos", "Shaggy0:11 · 1 video", f"<{EVIL}0:02 · 1 video"]
    assert page.read("#cast-count") == ["3"]
    assert page.value("document.querySelectorAll('#cast img').length") == 2  # the third has no picture


def test_a_video_shows_the_faces_of_its_characters_the_named_ones_first(page: Page) -> None:
    assert page.read("#rows tr:nth-child(1) .who .out") == ["Velma", "Character 2", "Character 3"]
    assert page.read("#rows tr:nth-child(2) .who .out") == ["Shaggy", "Velma", "Character 3"]
    assert page.read("#rows tr:nth-child(2) .role .disc") == ["3"]
    assert page.read("#rows tr:nth-child(5) .who, #rows tr:nth-child(6) .who") == ["", ""]
    titles = page.value("[...document.querySelectorAll('#rows tr:nth-child(2) .role')].map(link => link.title)")
    assert titles[0] == "Shaggy, 0:11, 2 scenes"


def test_a_face_leads_to_the_first_scene_in_its_video(page: Page) -> None:
    address = page.value("document.querySelector('#rows tr:nth-child(2) .role:nth-of-type(2)').href")
    assert address.endswith("/b.mkv.report.html#character=2")
    page.tab.open(address, DESKTOP)
    page.tab.wait_for("document.getElementById('picked-title')?.textContent === 'Velma'")
    assert page.read("#frame") == ["10"]


def test_a_character_narrows_the_table_to_its_videos(page: Page) -> None:
    page.click("#cast li:nth-child(1) button")
    assert names_of(page) == ["a #1.mkv", "b.mkv"]
    assert page.read("#rows .role") == ["0:11 · 2 scenes", "0:05 · 1 scene"]
    assert page.read("#cast [aria-pressed=true] b") == ["Velma"]
    page.click("#cast li:nth-child(2) button")
    assert (names_of(page), page.read("#cast [aria-pressed=true] b")) == (["b.mkv"], ["Shaggy"])
    page.click("#cast li:nth-child(2) button")
    assert len(names_of(page)) == 6


def test_the_search_finds_videos_by_character(page: Page) -> None:
    for wish, found in (("shag", ["b.mkv"]), ("VELMA", ["a #1.mkv", "b.mkv"]), ("c.m", ["c.mkv"]), ("daphne", [])):
        page.set("search", wish)
        assert names_of(page) == found


def test_no_name_is_ever_code(page: Page) -> None:
    assert page.value("document.title").endswith(" · face tracks")
    assert page.value("document.querySelectorAll('b b, script:not([type])').length") == 0


def test_a_folder_in_which_nobody_has_a_name_says_how_to_name_them(folder: Path, report_tab: Tab) -> None:
    rows = [EpisodeRow("c.mkv", "done", folder / "c.mkv.jsonl")]
    page = Page(report_tab, write_index(folder, rows, folder / "unnamed.html"))
    assert page.read("#cast-count, #cast li") == ["None has a name yet. acfd-stream cast names them."]
    assert page.value("[...document.querySelectorAll('#rows .role')].map(role => role.tagName)") == ["SPAN"] * 3


def test_a_folder_without_characters_has_no_column_for_them(folder: Path, report_tab: Tab) -> None:
    rows = [EpisodeRow("e.mkv", "done", folder / "e.mkv.jsonl")]
    page = Page(report_tab, write_index(folder, rows, folder / "plain.html"))
    assert page.value("document.querySelectorAll('.who, #cast').length") == 0
    assert page.value("document.getElementById('search').getAttribute('aria-label')") == "Find by name"


@pytest.mark.parametrize(("size", "scheme"), [(DESKTOP, "dark"), ((1000, 900), "light"), (PHONE, "light")])
def test_it_fits_by_day_and_by_night(size: tuple[int, int], scheme: str, folder: Path, report_tab: Tab) -> None:
    page = Page(report_tab, folder / "index.html", size, scheme)
    page.picture(f"folder_characters_{size[1]}_{scheme}")
    assert page.value("document.documentElement.scrollWidth") <= size[1]
