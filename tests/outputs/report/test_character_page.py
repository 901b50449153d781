"""Characters in the page of a video in a real Chromium: gallery, lanes, scenes; names and merges, kept and saved."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from acfd_stream.outputs import convert, read_results
from acfd_stream.outputs.report import write_episode_report
from acfd_stream.outputs.report.characters import numbering_key
from tests.outputs.report.browser import DESKTOP, PHONE, Page, wait_for
from tests.outputs.report.drawn import SLOW, draw_clip, result_of_characters
from tests.service.chromium import Tab

EVIL = "</script><script>document.title='x'</script><img src=x onerror=\"document.title='y'\">"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of ``result_of_characters`` with a grey picture per track."""
    folder = tmp_path_factory.mktemp("characters")
    draw_clip(folder / "clip.mp4", SLOW)
    (folder / "pictures").mkdir()
    for track in range(1, 6):
        cv2.imwrite(str(folder / f"pictures/{track}.jpg"), np.full((9, 9, 3), 40 * track, np.uint8))
    result_of_characters(folder / "a.jsonl")
    write_episode_report(folder / "a.jsonl", folder / "clip.mp4", folder / "a.html", folder / "pictures")
    return folder / "a.html"


@pytest.fixture
def page(report_tab: Tab, report: Path) -> Iterator[Page]:
    """That page, opened anew in a browser that has kept nothing of it."""
    page = Page(report_tab, report)
    yield page
    page.value("localStorage.clear()")


def cards(page: Page) -> list[str]:
    return page.read("#gallery b")


def reopened(page: Page, report: Path, expected: list[str]) -> Page:
    """The page opened again, with these cards; a busy browser opens it before it has stored what was kept before."""
    opened = [page]

    def shows() -> bool:
        opened[0] = Page(page.tab, report)
        return cards(opened[0]) == expected

    wait_for(shows)
    return opened[0]


def rename(page: Page, text: str) -> None:
    """Type a name for the selected character, by keys only."""
    page.press("r")
    page.tab.call("Input.insertText", text=text)
    page.press("Enter")


def drag(page: Page, begin: str, end: str) -> None:
    """Drag with the mouse from the middle of one element to that of another."""
    middles = [
        page.value(
            f"(({{left, top, width, height}}) => [left + width / 2, top + height / 2])"
            f"(document.querySelector('{selector}').getBoundingClientRect())"
        )
        for selector in (begin, end)
    ]
    steps = [
        ("mousePressed", *middles[0]),
        *(("mouseMoved", *place) for place in middles),
        ("mouseReleased", *middles[1]),
    ]
    for kind, x, y in steps:
        page.tab.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)


def test_the_gallery_says_who_is_on_screen_for_how_long_and_in_how_many_scenes(page: Page) -> None:
    assert page.read("#gallery li") == [
        "Character 111.0 s · 2 scenes",
        "Velma5.0 s · 1 scene",
        "Character 32.0 s · 1 scene",
    ]
    assert page.read("#gallery-count") == ["3, 1 named"]
    widths = page.value("[...document.querySelectorAll('#gallery img')].map(image => image.naturalWidth)")
    assert widths == [9, 9, 9]
    assert page.read("#gallery .on-screen b") == ["Character 1"]
    assert "Characters 3" in [
        " ".join(pair) for pair in zip(page.read(".figures dt"), page.read(".figures dd"), strict=True)
    ]


def test_a_click_on_a_card_goes_to_the_next_scene_and_after_the_last_to_the_first(page: Page) -> None:
    for frame in (20, 0, 20):
        page.click("#character-1")
        page.wait_for_frame(frame)
    assert page.read("#picked-title, #picked-facts dd") == ["Character 1", "11.0 s", "2", "0:00.0", "2", "0.83"]
    page.click("#character-2")
    page.wait_for_frame(10)
    assert page.read("#gallery .on-screen b, #here b") == ["Velma", "Velma"]


def test_a_lane_per_character_has_the_stays_of_its_tracks(page: Page) -> None:
    assert page.read("#character-lanes .row .words b") == ["Character 1", "Velma", "Character 3"]
    bars = page.value(
        "[...document.querySelectorAll('#character-lane-1 .bar')].map(bar => [bar.style.left, bar.style.width])"
    )
    assert bars == [["0%", "31.25%"], ["62.5%", "37.5%"]]
    page.click("#character-lane-1 .lane", share=25.5 / 32)
    page.wait_for_frame(25)
    page.click("#character-lane-1 .lane", share=15.5 / 32)  # beside a bar: the next scene after that moment
    page.wait_for_frame(20)
    assert page.read("#picked-title") == ["Character 1"]


def test_a_box_and_a_face_lead_to_their_character(page: Page) -> None:
    box = page.value("(({left, top, width}) => [left, top, width / 320])(boxes.getBoundingClientRect())")
    page.click_at(box[0] + 28 * box[2], box[1] + 80 * box[2])
    assert page.read("#picked-title") == ["Character 1"]
    page.press("End")
    page.wait_for_frame(31)
    page.click("#here li:nth-child(2) button")
    assert page.read("#picked-title") == ["Track 5"]  # of no character
    page.value("document.getElementById('lanes').scrollIntoView()")  # rows are there once they can be seen
    page.tab.wait_for("document.getElementById('lane-2')")
    page.click("#lane-2 .who")
    assert page.read("#picked-title") == ["Track 2"]
    page.click("#picked-character")
    assert page.read("#picked-title") == ["Velma"]


def test_keys_lead_from_character_to_character_and_from_scene_to_scene(page: Page) -> None:
    for key, name, frame in (("ArrowDown", "Character 1", 0), ("n", "Character 1", 20), ("N", "Character 1", 0)):
        page.press(key)
        page.wait_for_frame(frame)
        assert page.read("#picked-title") == [name]
    for key, name, frame in (("ArrowDown", "Velma", 10), ("ArrowDown", "Character 3", 4), ("ArrowUp", "Velma", 10)):
        page.press(key)
        page.wait_for_frame(frame)
        assert page.read("#picked-title, #character-lanes [aria-selected=true] b") == [name, name]
    page.press("Escape")
    assert page.read("#picked-title") == ["Nobody selected"]


def test_the_gallery_obeys_keys(page: Page) -> None:
    page.value("document.querySelector('#gallery [tabindex=\"0\"]').focus()")
    page.press("ArrowRight", "ArrowRight", "ArrowLeft", "Enter")
    page.wait_for_frame(10)
    assert page.read('#picked-title, #gallery [tabindex="0"] b') == ["Velma", "Velma"]
    assert page.value("document.activeElement.id") == "character-2"
    page.press("Home", "Enter")
    page.wait_for_frame(20)
    assert page.value("document.querySelectorAll('#gallery [tabindex=\"0\"]').length") == 1


def test_only_the_scenes_of_a_character_are_played(page: Page) -> None:
    page.click("#character-1")
    page.value("location.hash = 't=4.5'")
    page.wait_for_frame(9)
    page.set("rate", "2")
    page.value(
        "window.seen = new Set(); new MutationObserver(() => seen.add(Number(frame.textContent)))"
        ".observe(frame, {childList: true})"
    )
    page.press("o")
    assert page.value("document.getElementById('only').getAttribute('aria-pressed')") == "true"
    page.tab.wait_for("document.getElementById('frame').textContent === '31'")
    page.tab.wait_for("document.getElementById('play').getAttribute('aria-label') === 'Play'")
    seen = page.value("[...seen]")
    assert 20 <= min(frame for frame in seen if frame >= 20) <= 22  # a busy browser leaves pictures out
    assert len([frame for frame in seen if 10 <= frame < 20]) <= 1  # the picture after a scene may come before it stops
    page.press("o")
    assert page.value("document.getElementById('only').getAttribute('aria-pressed')") == "false"


def test_a_name_is_everywhere_and_stays_when_the_page_is_opened_again(page: Page, report: Path) -> None:
    page.press("ArrowDown")
    rename(page, "  Daphne ")
    assert cards(page) == ["Daphne", "Velma", "Character 3"]
    assert page.read("#picked-title, #here b, #character-lane-1 b, #names-told") == [
        "Daphne", "Daphne", "Character 1 is Daphne now.", "Daphne",
    ]  # fmt: skip
    again = reopened(page, report, ["Daphne", "Velma", "Character 3"])
    assert again.read("#gallery-count") == ["3, 2 named"]
    again.click("#undo-name")
    assert cards(again) == ["Character 1", "Velma", "Character 3"]
    assert again.value("localStorage.length") == 0


def test_a_name_can_be_taken_away_and_escape_leaves_it(page: Page) -> None:
    page.click("#character-2")
    page.press("r")
    page.tab.call("Input.insertText", text="Daphne")
    page.press("Escape")
    assert cards(page) == ["Character 1", "Velma", "Character 3"]
    assert page.value("document.getElementById('character-name').value") == "Velma"
    page.press("r", "Delete", "Enter")
    assert cards(page) == ["Character 1", "Character 2", "Character 3"]


def test_the_box_says_the_name(page: Page) -> None:
    def label_width() -> int:
        image = page.stage().astype(int)
        row = image[round(image.shape[0] * 60 / 180) - 4]  # just above the box, in its label
        return int(np.count_nonzero(row.max(axis=1) - row.min(axis=1) > 60))

    before = label_width()
    page.press("ArrowDown")
    rename(page, "Daphne Anne Blake of Crystal Cove")
    assert label_width() > 1.5 * before


def test_a_card_dragged_onto_another_one_becomes_part_of_it(page: Page) -> None:
    drag(page, "#character-1 img", "#character-2 img")
    assert page.read("#gallery li") == ["Velma16.0 s · 1 scene", "Character 32.0 s · 1 scene"]
    assert page.read("#names-told") == ["Velma and Character 1 are one character now."]
    assert page.read("#character-lanes .words b") == ["Velma", "Character 3"]
    page.click("#undo-name")
    assert cards(page) == ["Character 1", "Velma", "Character 3"]


def test_two_who_are_in_one_picture_are_never_merged(page: Page) -> None:
    drag(page, "#character-3 img", "#character-1 img")
    refused = "Character 1 and Character 3 are in one picture, so they cannot be one character."
    assert (cards(page), page.read("#names-told")) == (["Character 1", "Velma", "Character 3"], [refused])
    page.click("#character-3")
    assert page.read("#merge-with option") == ["Velma"]
    page.click("#merge")
    assert (cards(page), page.read("#picked-title")) == (["Character 1", "Velma"], ["Velma"])
    page.click("#character-1")
    assert page.read("#merge-with option") == []
    assert page.value("document.getElementById('merge').disabled")


def test_a_name_that_another_one_has_merges_both(page: Page) -> None:
    page.click("#character-1")
    rename(page, "Velma")
    assert (cards(page), page.read("#picked-title")) == (["Velma", "Character 3"], ["Velma"])


def test_names_are_saved_as_the_file_that_a_cast_reads(page: Page, report: Path, tmp_path: Path) -> None:
    assert page.value("document.getElementById('save-names').disabled")
    page.click("#character-3")
    rename(page, 'Fred\u00a0"the" 👩\u200d🚀')
    drag(page, "#character-1 img", "#character-2 img")
    page.tab.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    page.click("#save-names")
    path = tmp_path / "clip.mp4.names.json"
    wait_for(path.exists)
    results = read_results(report.with_name("a.jsonl"))
    assert json.loads(path.read_text()) == {
        "type": "names",
        "version": 1,
        "result": "clip.mp4",
        "characters": numbering_key("clip.mp4", results.end.characters),
        "names": {"3": 'Fred "the" 👩\u200d🚀'},
        "merges": [[2, 1]],
    }


def test_what_the_browser_kept_is_not_trusted(page: Page, report: Path) -> None:
    page.press("ArrowDown")
    rename(page, "Daphne")
    for kept in (
        "{",
        "{}",
        '[["name", 9, "x"], ["merge", 1, 9], ["name", 1, {}], ["name", 1, " x"], 5, ["name", 1, "Ok"]]',
    ):
        page.value(f"localStorage.setItem(localStorage.key(0), {json.dumps(kept)})")
        reopened(page, report, ["Ok" if "Ok" in kept else "Character 1", "Velma", "Character 3"])


def test_no_name_is_ever_code(tmp_path: Path, report_tab: Tab) -> None:
    path = result_of_characters(tmp_path / "a.jsonl", {1: EVIL, 2: "\udce9 \u2028"})
    write_episode_report(path, None, tmp_path / "a.html")
    page = Page(report_tab, tmp_path / "a.html")
    assert cards(page) == [EVIL, "\N{REPLACEMENT CHARACTER}", "Character 3"]
    page.click("#character-3")
    rename(page, f"{EVIL[:60]}<b>")
    assert page.value("document.title").endswith(" · face tracks")
    assert page.value("document.querySelectorAll('b b, img, script:not([type])').length") == 0
    page.value("localStorage.clear()")


def test_names_in_saved_tables_are_no_formulas(tmp_path: Path, report_tab: Tab) -> None:
    path = result_of_characters(tmp_path / "a.jsonl", {1: '=HYPERLINK("x",1)', 2: "क्\u200dष\r\n-->\u202e"})
    write_episode_report(path, None, tmp_path / "a.html")
    page = Page(report_tab, tmp_path / "a.html")
    report_tab.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    for kind in ("csv", "vtt"):
        page.click(f"#save-{kind}")
        wait_for((tmp_path / f"clip.mp4.{kind}").exists)
        convert(read_results(path), tmp_path / f"own.{kind}", kind)
    own, saved = ((tmp_path / f"{name}.csv").read_text().splitlines() for name in ("own", "clip.mp4"))
    names = [{row["name"] for row in csv.DictReader(lines)} for lines in (own, saved)]
    assert names == [{'\'=HYPERLINK("x",1)', "क्\u200dष??-->?", ""}] * 2
    for name in ("own", "clip.mp4"):
        assert "\nक्\u200dष --&gt;?\n" in (tmp_path / f"{name}.vtt").read_text()


def test_another_page_can_point_to_a_character(report: Path, report_tab: Tab) -> None:
    page = Page(report_tab, report, at="#character=2")
    page.wait_for_frame(10)
    assert page.read("#picked-title") == ["Velma"]


def test_lanes_of_tracks_can_be_folded(page: Page) -> None:
    page.click("#fold")
    assert page.value("document.getElementById('lanes').hidden")
    assert page.value("document.getElementById('fold').getAttribute('aria-expanded')") == "false"
    page.value("location.hash = 'track=2'")
    page.tab.wait_for("document.getElementById('lane-2')?.getAttribute('aria-selected') === 'true'")
    assert not page.value("document.getElementById('lanes').hidden")


@pytest.mark.parametrize(("size", "scheme"), [(DESKTOP, "dark"), ((1100, 900), "light"), (PHONE, "light")])
def test_it_fits_by_day_and_by_night(size: tuple[int, int], scheme: str, report: Path, report_tab: Tab) -> None:
    page = Page(report_tab, report, size, scheme)
    page.click("#character-2")
    assert page.read("#picked-title") == ["Velma"]
    page.picture(f"characters_{size[1]}_{scheme}")
    assert page.value("document.documentElement.scrollWidth") <= size[1]


def test_everything_has_a_name_for_those_who_do_not_see_it(page: Page) -> None:
    page.click("#character-2")
    nodes = page.tab.call("Accessibility.getFullAXTree")["nodes"]
    named = {"button", "link", "heading", "slider", "listbox", "option", "combobox", "textbox"}
    shown = [node for node in nodes if not node["ignored"] and node.get("role", {}).get("value") in named]
    assert [node["role"] for node in shown if not node.get("name", {}).get("value")] == []
    names = {node["name"]["value"] for node in shown}
    assert {"Velma, on screen for 5.0 s in 1 scene", "Only these scenes", "Name", "Same as"} <= names
