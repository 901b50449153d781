"""The page of a video in a real Chromium: keys, filters, zoom, strangers' names, long episodes, small screens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from acfd_stream.errors import MediaError
from acfd_stream.outputs import ResultEnd
from acfd_stream.outputs.report import EpisodeSpeed, write_episode_report
from acfd_stream.types import Face, FrameResult
from tests.outputs.report.browser import DESKTOP, PHONE, Page
from tests.outputs.report.drawn import IRREGULAR, STEADY, Times, frame_of, result_of_square, square, write_result
from tests.service.chromium import Tab

EVIL = "</script><script>document.title='x'</script><img src=x onerror=\"document.title='y'\"> & 'quotes' \"too\""


def ids(page: Page) -> list[str]:
    return page.read("#lanes .row .words b")


def test_figures_stand_above_and_settings_below(page: Page) -> None:
    figures = dict(zip(page.read(".figures dt"), page.read(".figures dd"), strict=True))
    assert figures == {
        "Length": "0:04.0", "Tracks": "3", "Faces on screen": "100 % 0:04.0", "At once": "up to 1", "Shots": "3",
    }  # fmt: skip
    held = "0 of 32 frames repeat the previous frame"
    assert page.read("h1, .how dd") == ["clip.mp4", "clip.mp4", "320 × 180, 32 frames", held, "acfd-n 1 f32"]


def test_keys_move_the_player(page: Page) -> None:
    for key, frame in ((".", 1), (".", 2), (",", 1), ("]", 10), ("]", 20), ("[", 10), ("[", 0), ("End", 31)):
        page.press(key)
        page.wait_for_frame(frame)
    for key, frame in (("Home", 0), ("ArrowRight", 31), ("ArrowLeft", 0)):
        page.press(key)
        page.wait_for_frame(frame)


def test_keys_go_from_track_to_track_and_play_one_to_its_end(page: Page) -> None:
    for key, track, frame in (("ArrowDown", 1, 0), ("ArrowDown", 2, 10), ("ArrowDown", 3, 20), ("ArrowUp", 2, 10)):
        page.press(key)
        page.wait_for_frame(frame)
        assert page.read("#picked-title, #lanes [aria-selected=true] b") == [f"Track {track}", f"{track}"]
    page.press("Enter")
    page.tab.wait_for("Number(document.getElementById('frame').textContent) > 11")
    page.tab.wait_for("document.getElementById('play').getAttribute('aria-label') === 'Play'")
    page.wait_for_frame(19)
    page.press("Escape")
    assert page.read("#picked-title") == ["No track selected"]


def test_the_keys_are_told_and_boxes_can_be_hidden(page: Page) -> None:
    page.press("?")
    assert page.value("document.getElementById('keys').open")
    page.click("#keys button")
    assert not page.value("document.getElementById('keys').open")
    assert np.isfinite(page.drawn()[1])
    page.press("b")
    with pytest.raises(IndexError):
        page.drawn()  # there is no coloured line


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tracks 1 … 4, of 2, 8, 16 and 31 frames, of 20, 10, 80 and 40 pixels, of best scores 0.9, 0.6, 0.8 and 0.7."""
    frames = []
    for index in range(32):
        faces = [(1, 2, 20.0, 0.9), (2, 8, 10.0, 0.6), (3, 16, 80.0, 0.8), (4, 31, 40.0, 0.7)]
        shown = [
            Face(id, (0, 0, side, side), best if index == 1 else 0.5)
            for id, length, side, best in faces
            if 1 <= index <= length
        ]
        frames.append(frame_of(STEADY, index, shown))
    folder = tmp_path_factory.mktemp("crowd")
    write_result(folder / "a.jsonl", frames, STEADY.time_base)
    write_episode_report(folder / "a.jsonl", None, folder / "a.html")
    return folder / "a.html"


def test_filters_by_length_and_size_act_on_lanes_and_boxes(crowd: Path, report_tab: Tab) -> None:
    page = Page(report_tab, crowd)
    page.press(".")
    assert (ids(page), page.read("#here b")) == (["1", "2", "3", "4"], ["1", "2", "3", "4"])
    page.set("least-length", "75")  # from 0.25 s on, the longest has 3.9
    assert (ids(page), page.read("#here b, #least-length-text")) == (["3", "4"], ["3", "4", "2.0 s"])
    page.set("least-size", "100")
    assert (ids(page), page.read("#here b, #shown-count")) == (["3"], ["3", "1 of 4"])
    page.set("least-length", "100")
    assert page.read("#lanes .empty:not([hidden])") == ["No track matches these filters."]


def test_a_slider_hides_the_tracks_below_a_score_and_obeys_keys(crowd: Path, report_tab: Tab) -> None:
    page = Page(report_tab, crowd)
    page.press(".")
    page.value("document.getElementById('least-score').focus()")
    for keys, wanted, text in ((1, "1234", "0.60"), (49, "13", "0.73"), (50, "1", "0.90")):
        page.press(*["ArrowRight"] * keys)
        assert ("".join(ids(page)), "".join(page.read("#here b"))) == (wanted, wanted)
        assert page.read("#least-score-text") == [text]
        assert page.value("document.getElementById('least-score').getAttribute('aria-valuetext')") == text
    page.press("End", "Home")
    assert (page.read("#least-score-text"), page.read("#frame")) == (["any"], ["1"])
    assert "".join(ids(page)) == "1234"


def test_lanes_come_in_the_order_that_is_asked_for(crowd: Path, report_tab: Tab) -> None:
    page = Page(report_tab, crowd)
    for order, wanted in (("seconds", "4321"), ("size", "3412"), ("begin", "1234")):
        page.set("order", order)
        tops = page.value("[...document.querySelectorAll('.row')].map(row => [row.offsetTop, row.id.slice(5)])")
        assert "".join(id for _, id in sorted(tops)) == wanted


def test_zoom_shows_the_lanes_of_a_part_of_the_time(page: Page) -> None:
    page.click("#lane-3 .lane", share=0.83)
    page.press("+", "+", "+")
    assert ids(page) == ["3"]
    assert not page.value("document.querySelector('.window').hidden")
    page.press("0")
    assert sorted(ids(page)) == ["1", "2", "3"]


def test_another_page_can_point_to_a_track(square_report: Path, report_tab: Tab) -> None:
    page = Page(report_tab, square_report, at="#track=3")
    page.wait_for_frame(20)
    assert page.read("#picked-title") == ["Track 3"]


def test_no_name_is_ever_code(tmp_path: Path, report_tab: Tab) -> None:
    end = ResultEnd(1, False, f"broke: {EVIL}", (f"odd: {EVIL}", "line\u2028two \udce9"))
    settings = {"start": None, EVIL: EVIL}
    frames = [frame_of(STEADY, 0, [square(1, 0)])]
    path = write_result(
        tmp_path / "a.jsonl", frames, end=end, source=f"dir/{EVIL}", settings=settings, model={EVIL: EVIL}
    )
    speed = EpisodeSpeed(1.0, 1, {EVIL: 0.5}, 0.1, 0.2)
    write_episode_report(path, f"/nowhere/{EVIL}", tmp_path / "a.html", speed=speed)
    page = Page(report_tab, tmp_path / "a.html")
    assert page.value("document.title").endswith(" · face tracks")
    assert page.value("document.querySelectorAll('img, script:not([type])').length") == 0
    told, _odd, line = page.read(".note")
    assert told.startswith("Only the first 0:00.1 were tracked. broke: </script><script>document.title='x'</script>")
    assert line == "line two \N{REPLACEMENT CHARACTER}"
    assert sum(EVIL.split()[0] in text for text in page.read(".how dd, .how dt")) == 5


def test_nothing_is_asked_of_a_network(page: Page) -> None:
    asked = page.value("performance.getEntriesByType('resource').map(entry => entry.name)")
    assert all(name.startswith("file:") for name in asked)
    policy = page.value("document.querySelector('meta[http-equiv]').content")
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    blocked = page.value("fetch('http://127.0.0.1:9/').then(() => 'went', error => error.name)")
    assert blocked == "TypeError"
    page.tab.complaints[:] = [text for text in page.tab.complaints if "127.0.0.1:9" not in text]  # ours, just now


@pytest.fixture(scope="module")
def long_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half an hour of 24 frames a second with 500 tracks."""
    folder = tmp_path_factory.mktemp("long")
    times = Times(tuple(range(43_200)), STEADY.time_base / 3 * 128)  # 24 frames a second

    def frames() -> list[FrameResult]:
        found = []
        for index in range(len(times.pts)):
            first = index // 86
            faces = [square(id + 1, index % 30) for id in range(max(0, first - 1), min(500, first + 1))]
            found.append(frame_of(times, index, faces, shot=index // 60))
        return found

    write_result(folder / "a.jsonl", frames(), times.time_base, frame_rate=24)
    write_episode_report(folder / "a.jsonl", None, folder / "a.html")
    return folder / "a.html"


def test_lanes_of_a_long_episode_go_with_the_player(long_report: Path, report_tab: Tab) -> None:
    page = Page(report_tab, long_report)
    page.click("#overview", share=0.5)
    assert {"249", "250", "251"} <= set(ids(page))
    assert len(ids(page)) < 20
    page.press(*["ArrowDown"] * 20)  # out of what was shown
    chosen = page.read("#picked-title")[0].removeprefix("Track ")
    assert page.read("#lanes [aria-selected=true] b") == [chosen]
    page.set("order", "seconds")
    assert page.read("#shown-count") == ["500"]


def test_a_long_episode_stays_light(long_report: Path, report_tab: Tab) -> None:
    page = Page(report_tab, long_report)
    assert page.read("#shown-count") == ["17 of 500"]  # a part of the time, at first
    page.press("0")
    assert page.read("#shown-count") == ["500"]
    assert page.value("document.querySelectorAll('.row').length") < 60
    page.value("{ const box = document.querySelector('#lanes .scroll'); box.scrollIntoView(); box.scrollTop = 1e6; }")
    page.tab.wait_for("document.getElementById('lane-500')")
    assert page.value("document.querySelectorAll('.row').length") < 60
    took = page.value(
        "(() => { const began = performance.now(); for (let press = 0; press < 100; press += 1) {"
        " const key = press % 10 ? '.' : 'ArrowDown';"
        " document.body.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true})); }"
        " return (performance.now() - began) / 100; })()"
    )
    assert page.read("#picked-title") == ["Track 10"]
    assert took < 16  # milliseconds a step: one picture of the screen


@pytest.mark.parametrize(("size", "scheme"), [(DESKTOP, "dark"), ((1100, 900), "light"), (PHONE, "light")])
def test_it_fits_by_day_and_by_night(size: tuple[int, int], scheme: str, square_report: Path, report_tab: Tab) -> None:
    page = Page(report_tab, square_report, size, scheme)
    page.click("#lane-2 .lane", share=0.4)
    assert page.read("#picked-title") == ["Track 2"]
    image = page.picture(f"episode_{size[1]}_{scheme}")
    assert image.shape[:2] == size
    assert page.value("document.documentElement.scrollWidth") <= size[1]
    assert (float(np.median(image[-60:])) > 200) == (scheme == "light")


def test_everything_has_a_name_for_those_who_do_not_see_it(page: Page) -> None:
    page.click("#lane-2 .who")
    nodes = page.tab.call("Accessibility.getFullAXTree")["nodes"]
    named = {"button", "link", "image", "heading", "slider", "listbox", "option", "combobox", "dialog"}
    shown = [node for node in nodes if not node["ignored"] and node.get("role", {}).get("value") in named]
    assert [node["role"] for node in shown if not node.get("name", {}).get("value")] == []
    assert {"slider", "listbox", "option", "button"} <= {node["role"]["value"] for node in shown}


@pytest.mark.parametrize("frames", [0, 1])
def test_a_result_with_next_to_nothing_in_it_is_shown(frames: int, tmp_path: Path, report_tab: Tab) -> None:
    write_result(tmp_path / "a.jsonl", [frame_of(STEADY, 0)][:frames], frame_rate=None)
    write_episode_report(tmp_path / "a.jsonl", None, tmp_path / "a.html")
    page = Page(report_tab, tmp_path / "a.html")
    page.press(" ", ".", "ArrowDown", "]", "+", "0")
    assert page.read("#here, #frame, #shot, #shown-count") == ["0", "1 of 1", "No faces.", "0"]


def test_an_unfinished_result_has_no_report(tmp_path: Path) -> None:
    path = result_of_square(tmp_path / "a.jsonl", IRREGULAR)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    with pytest.raises(MediaError, match="has no closing line"):
        write_episode_report(path, None, tmp_path / "a.html")
    assert not (tmp_path / "a.html").exists()
