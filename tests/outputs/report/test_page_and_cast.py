"""Names from the page of a video through a cast into the results, and back into the page."""

from __future__ import annotations

from pathlib import Path

from acfd_stream.cli import main as run
from acfd_stream.outputs import read_results
from acfd_stream.outputs.report import write_episode_report
from tests.identity.made_up import write_views
from tests.outputs.report.browser import Page, wait_for
from tests.outputs.report.drawn import result_of_characters
from tests.service.chromium import Tab


def opened(tab: Tab, folder: Path) -> Page:
    """The page of the result in ``folder``, made anew, in a browser that has kept nothing of it."""
    write_episode_report(folder / "a.jsonl", None, folder / "a.html", views=folder / "a.views.ndjson")
    Page(tab, folder / "a.html").value("localStorage.clear()")
    return Page(tab, folder / "a.html")


def test_names_given_in_a_page_reach_the_results(tmp_path: Path, report_tab: Tab) -> None:
    jsonl, cast = result_of_characters(tmp_path / "a.jsonl", {}), str(tmp_path / "season.db")
    write_views(tmp_path / "a.views.ndjson", [1, 2, 3], together=[(1, 3)], tracks=[1, 2, 4])
    page = opened(report_tab, tmp_path)
    page.value("document.getElementById('gallery').scrollIntoView()")
    for number, name in ((2, "Velma"), (3, "Velma"), (1, "Fred")):  # the second one is merged with the first
        page.click(f"#character-{number}")
        page.press("r")
        page.tab.call("Input.insertText", text=name)
        page.press("Enter")
    assert page.read("#gallery b") == ["Fred", "Velma"]
    page.tab.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    page.click("#save-names")
    names = tmp_path / "clip.mp4.names.json"
    wait_for(names.exists)
    assert run(["cast", "build", str(jsonl), "--to", cast]) == 0
    assert run(["cast", "name", cast, "--from", str(names)]) == 0
    assert run(["cast", "apply", cast, str(jsonl)]) == 0
    found = read_results(jsonl)
    assert [character.name for character in found.end.characters] == ["Fred", "Velma", "Velma"]
    assert {face.name for result in found for face in result.faces} == {"Fred", "Velma", ""}
    assert opened(report_tab, tmp_path).read("#gallery li") == ["Fred11.0 s · 2 scenes", "Velma7.0 s · 1 scene"]
