"""docs/archives.md and what a run exports say the same, both ways."""

from __future__ import annotations

from prometheus_client import generate_latest

from acfd_stream.archive.run_metrics import ArchiveMetrics
from tests.service import metrics_page
from tests.service.test_metrics_page import exported

PAGE = metrics_page.PAGE.with_name("archives.md")


def test_the_page_lists_every_metric_of_a_run_and_no_other() -> None:
    scraped = exported(generate_latest(ArchiveMetrics().registry).decode())
    listed = {row.name: row for row in metrics_page.rows(PAGE)}
    assert sorted(listed) == sorted(scraped)
    for name, row in listed.items():
        assert (row.kind, row.labels) == (scraped[name].kind, scraped[name].labels)
