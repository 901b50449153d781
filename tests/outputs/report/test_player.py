"""The player of a report in a real Chromium: boxes stand where the picture has the face, whatever moves the time."""

from __future__ import annotations

from pathlib import Path

import pytest

from acfd_stream.outputs.report import write_episode_report
from tests.outputs.report.browser import Page
from tests.outputs.report.drawn import IRREGULAR, LATE, STEADY, Times, draw_clip, result_of_square
from tests.service.chromium import Tab

HALF_A_FRAME = 0.5
END = (STEADY.seconds(31) + 0.125) - STEADY.seconds(0)


def shows(page: Page, frame: int) -> None:
    """The picture and the box of ``frame`` are on screen, and the page says so."""
    page.wait_for_frame(frame)
    picture, box = page.drawn()
    assert picture == pytest.approx(frame, abs=HALF_A_FRAME)
    assert box == pytest.approx(frame, abs=HALF_A_FRAME)


def test_a_click_on_a_lane_moves_the_player_to_that_moment(page: Page) -> None:
    page.click("#lane-3 .lane", share=(26.5 * 0.125) / END)
    shows(page, 26)
    assert page.read("#time, #picked-title") == ["0:03.3", "Track 3"]
    page.click("#lane-2 .lane", share=(11.5 * 0.125) / END)
    shows(page, 11)


def test_a_click_beside_a_bar_or_on_a_name_goes_to_where_the_track_begins(page: Page) -> None:
    page.click("#lane-3 .lane", share=0.1)
    shows(page, 20)
    page.click("#lane-2 .who", share=0.2)
    shows(page, 10)


def test_a_click_on_a_face_tells_about_its_track(page: Page) -> None:
    box = page.value("(({left, top, width}) => [left, top, width / 320])(boxes.getBoundingClientRect())")
    page.click_at(box[0] + 28 * box[2], box[1] + 80 * box[2])
    assert page.read("#picked-title, #picked-facts dd") == [
        "Track 1",
        "1.3 s",
        "0:00.0",
        "0:01.3",
        "10",
        "40 px",
        "0.90, best 0.90",
    ]
    page.click_at(box[0] + 300 * box[2], box[1] + 10 * box[2])
    assert page.read("#picked-title") == ["No track selected"]


def test_a_click_on_the_overview_goes_there(page: Page) -> None:
    page.click("#overview", share=(15.5 * 0.125) / END)
    shows(page, 15)


@pytest.mark.parametrize(
    ("times", "name"),
    [(IRREGULAR, "clip.mp4"), (LATE, "clip.mkv"), (LATE, "clip.mp4"), (STEADY, "a #?%&'\" ü.mp4")],
    ids=["irregular", "late mkv", "late mp4", "odd name"],
)
def test_boxes_and_pictures_are_of_one_frame_in_any_video(
    times: Times, name: str, tmp_path: Path, report_tab: Tab
) -> None:
    draw_clip(tmp_path / name, times)
    write_episode_report(result_of_square(tmp_path / "a.jsonl", times), tmp_path / name, tmp_path / "a.html")
    page = Page(report_tab, tmp_path / "a.html")
    shows(page, 0)
    for frame in (1, 2, 3):
        page.press(".")
        shows(page, frame)
    for frame in (20, 7, 18):
        page.value(f"location.hash = 't={times.seconds(frame) - times.seconds(0):.4f}'")
        shows(page, frame)


def test_boxes_keep_up_while_the_video_plays(page: Page) -> None:
    page.set("rate", "0.5")
    page.press(" ")
    page.tab.wait_for("Number(document.getElementById('frame').textContent) > 2")
    differences = []
    while len(differences) < 7 and page.read("#play.playing") == [""]:
        picture, box = page.drawn()
        differences.append(abs(picture - box))
    # A picture of the screen may fall between the two; that a box is always late, or drifts away, it cannot hide.
    assert sum(difference < HALF_A_FRAME for difference in differences) >= min(3, len(differences))
    assert max(differences) < 2 + HALF_A_FRAME


def test_a_part_of_a_video_is_shown_at_its_own_times(tmp_path: Path, report_tab: Tab) -> None:
    draw_clip(tmp_path / "clip.mp4", STEADY)
    part = Times(STEADY.pts[10:], STEADY.time_base)
    result_of_square(tmp_path / "a.jsonl", part, settings={"start": 1.25})
    write_episode_report(tmp_path / "a.jsonl", tmp_path / "clip.mp4", tmp_path / "a.html")
    page = Page(report_tab, tmp_path / "a.html")
    for frame in (0, 1, 2):
        page.wait_for_frame(frame)
        picture, box = page.drawn()
        assert picture == pytest.approx(10 + frame, abs=HALF_A_FRAME)  # of the file
        assert box == pytest.approx(frame, abs=HALF_A_FRAME)  # the result's own, which here begins at the left again
        page.press(".")


def test_without_the_video_the_boxes_play_alone(square_report: Path, tmp_path: Path, report_tab: Tab) -> None:
    alone = tmp_path / "alone.html"
    alone.write_bytes(square_report.read_bytes())
    page = Page(report_tab, alone)
    (reason,) = page.read("#no-picture")
    assert reason.startswith("This browser cannot play the video, or it is no longer next to this page.")
    page.click("#lane-2 .who")
    page.wait_for_frame(10)
    page.press(" ")
    page.tab.wait_for("Number(document.getElementById('frame').textContent) > 12")
    assert page.value("document.getElementById('play').getAttribute('aria-label')") == "Pause"


def test_a_small_video_inside_needs_no_file(tmp_path: Path, report_tab: Tab) -> None:
    draw_clip(tmp_path / "proxy.mp4", STEADY)
    result_of_square(tmp_path / "a.jsonl", LATE)  # its first frame is the proxy's second 0
    write_episode_report(tmp_path / "a.jsonl", None, tmp_path / "a.html", proxy=tmp_path / "proxy.mp4")
    (tmp_path / "proxy.mp4").unlink()
    page = Page(report_tab, tmp_path / "a.html")
    page.click("#lane-2 .who")
    shows(page, 10)
