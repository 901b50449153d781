"""Reports as HTML files for a browser: one per video, and an index of a folder."""

from __future__ import annotations

from acfd_stream.outputs.report.episode import EpisodeSpeed, write_episode_report
from acfd_stream.outputs.report.folder import EpisodeRow, write_index
from acfd_stream.outputs.report.summary import EpisodeSummary, read_summary, summary_of_results

__all__ = [
    "EpisodeRow",
    "EpisodeSpeed",
    "EpisodeSummary",
    "read_summary",
    "summary_of_results",
    "write_episode_report",
    "write_index",
]
