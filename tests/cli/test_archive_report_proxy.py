"""``archive run --report-proxy``: a small copy beside the pages of videos that browsers do not play, and no other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from acfd_stream.cli import main
from tests.cli.test_archive import Archive, film
from tests.outputs.report.drawn import STEADY, draw_clip


def test_only_videos_that_need_a_proxy_get_one_once(
    tmp_path: Path, tiny_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    archive = Archive(tmp_path / "library", tmp_path / "out", tiny_model)
    film(archive.library / "old.mkv", 12)
    draw_clip(archive.library / "plays.mp4", STEADY)

    def run(*more: str) -> list[str]:
        """The videos that had work."""
        assert main(archive.arguments("--report-proxy", "--log-json", *more)) == 0
        events = map(json.loads, capfd.readouterr().out.splitlines())
        return [each["name"] for each in events if each["event"] == "episode"]

    assert run() == ["old.mkv", "plays.mp4"]
    suffixes = ("jsonl", "poster.jpg", "report.html")
    expected = {f"{name}.{suffix}" for name in ("old.mkv", "plays.mp4") for suffix in suffixes}
    assert archive.results().keys() == expected | {"old.mkv.proxy.mp4", "index.html"}
    assert '"proxy":"old.mkv.proxy.mp4"' in (archive.out / "old.mkv.report.html").read_text()
    assert run() == []
    assert main(["archive", "report", str(archive.out), "--quiet"]) == 0
    (archive.out / "old.mkv.proxy.mp4").unlink()
    assert run() == ["old.mkv"]
    assert (archive.out / "old.mkv.proxy.mp4").exists()
    assert main(["archive", "verify", str(archive.out), "--quiet"]) == 0
