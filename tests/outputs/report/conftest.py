"""A browser for all pages of this room, and pages to look at in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from acfd_stream.outputs.report import write_episode_report
from tests.outputs.report.browser import Page
from tests.outputs.report.drawn import STEADY, draw_clip, result_of_square
from tests.service.chromium import Tab, chromium


@pytest.fixture(scope="session")
def report_tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with chromium(tmp_path_factory.mktemp("chromium")) as tab:
        yield tab
        assert tab.complaints == []  # no error of a script, nothing that the page's own policy had to forbid


@pytest.fixture(scope="session")
def square_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a square that goes to the right for four seconds, as three tracks in three shots."""
    folder = tmp_path_factory.mktemp("square")
    draw_clip(folder / "clip.mp4", STEADY)
    write_episode_report(result_of_square(folder / "a.jsonl", STEADY), folder / "clip.mp4", folder / "a.html")
    return folder / "a.html"


@pytest.fixture
def page(report_tab: Tab, square_report: Path) -> Page:
    """That report, opened anew."""
    return Page(report_tab, square_report)
