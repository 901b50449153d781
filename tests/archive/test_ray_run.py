"""An archive on a real Ray cluster of this machine gives what processes of this machine give, also over a loss."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acfd_stream.archive.local_workers import LocalWorkers
from acfd_stream.archive.options import ArchiveOptions
from acfd_stream.archive.ray_workers import RayWorkers, Share, shared_out
from acfd_stream.archive.run import ArchiveRun
from acfd_stream.archive.workers import Ended, Lost, WorkerEvent, Workers
from acfd_stream.characters import CharacterConfig
from acfd_stream.config import ArchiveConfig
from acfd_stream.errors import BackendUnavailable
from acfd_stream.identity.cast.cast import Cast
from acfd_stream.identity.views_file import StoredView, ViewsHeader, end_line, header_line, view_line
from acfd_stream.networks.precision import digest
from tests.archive import square_work
from tests.pipeline.conftest import FRAMES, write_clip
from tests.recording.victim import outputs_of

OUTPUTS = ("jsonl", "parquet", "mot")
EAGER = ArchiveConfig(checkpoint_seconds=1e-9, backoff_seconds=0.01)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("library")
    write_clip(folder / "1.mkv")
    for name in ("2.mkv", f"3 {square_work.DEADLY}.mkv"):
        shutil.copy(folder / "1.mkv", folder / name)
    return folder


class Remembering(RayWorkers):
    """Keeps how each episode ended, and who was lost."""

    def __init__(self, workers: int) -> None:
        super().__init__(workers, work=square_work.work, open_detector=square_work.open_finder)
        self.ends: list[Ended] = []
        self.losses: list[Lost] = []

    def events(self, timeout_seconds: float) -> list[WorkerEvent]:
        events = super().events(timeout_seconds)
        self.ends += [event for event in events if isinstance(event, Ended)]
        self.losses += [event for event in events if isinstance(event, Lost)]
        return events


@pytest.mark.usefixtures("cluster")
def test_a_lost_workers_episode_goes_on_elsewhere_and_all_is_as_on_one_machine(
    library: Path, tiny_model: Path, tmp_path: Path
) -> None:
    def call(out: Path) -> ArchiveOptions:
        return ArchiveOptions((str(library),), out, OUTPUTS, model=str(tiny_model), device="cpu", archive=EAGER)

    local = LocalWorkers(2, work=square_work.work, open_detector=square_work.open_finder)
    assert ArchiveRun(call(tmp_path / "local"), lambda episodes: (local, 0)).run().is_all_done
    workers = Remembering(2)
    assert ArchiveRun(call(tmp_path / "ray"), lambda episodes: (workers, 0)).run().is_all_done
    assert [event.task.name for event in workers.losses] == [f"3 {square_work.DEADLY}.mkv"]
    frames = {event.task.name: event.outcome.new_frames for event in workers.ends}
    assert (frames.pop("1.mkv"), frames.pop("2.mkv")) == (FRAMES, FRAMES)
    assert 0 < frames.popitem()[1] < FRAMES  # it went on from the checkpoint of the one that is gone
    assert outputs_of(tmp_path / "ray") == outputs_of(tmp_path / "local")


@pytest.mark.usefixtures("cluster")
def test_a_cast_names_the_same_characters_on_a_cluster(
    library: Path, tiny_model: Path, tiny_embedder: Path, tmp_path: Path
) -> None:
    white = np.full(3, 3**-0.5, np.float16)
    header = ViewsHeader("tiny-id", "1", digest(tiny_embedder), 0.8)
    view = StoredView(1, 1, 0, 0.0, 0.5, white, b"jpeg")
    (tmp_path / "e0.views.ndjson").write_bytes(b"".join([header_line(header), view_line(view), end_line([])]))
    with Cast.open(tmp_path / "cast.db", is_new=True) as cast:
        cast.build([tmp_path])
        cast.name(1, "Velma")

    def record(out: Path, workers: Workers[Any]) -> dict[str, bytes]:
        options = {"cast": tmp_path / "cast.db", "characters": CharacterConfig(model=str(tiny_embedder))}
        call = ArchiveOptions((str(library / "1.mkv"),), out, ("jsonl", "vtt"), model=str(tiny_model), **options)
        assert ArchiveRun(call, lambda episodes: (workers, 0)).run().is_all_done
        return outputs_of(out)

    work = {"work": square_work.work, "open_detector": square_work.open_finder}
    local = record(tmp_path / "local", LocalWorkers(1, **work))
    assert record(tmp_path / "ray", RayWorkers(1, **work)) == local
    assert b"Velma" in local["1.mkv.jsonl"]
    assert b"Velma" in local["1.mkv.vtt"]


@pytest.mark.parametrize(
    ("asked", "machines", "share"),
    [
        (0, [(16, 0)], Share(4, 4, 0)),
        (2, [(2, 0)], Share(2, 1, 0)),
        (0, [(1, 0)], Share(1, 1, 0)),
        (0, [(16, 2), (16, 1)], Share(3, 8, 1)),  # two machines hold three workers of 8 cores, not of 10
        (2, [(5, 0), (3, 0)], Share(2, 3, 0)),
        (4, [(2, 1)], Share(4, 0.5, 0.25)),  # more than there are cores: they share
    ],
)
def test_a_cluster_is_shared_out_so_that_every_worker_finds_a_machine(
    asked: int, machines: list[tuple[float, float]], share: Share
) -> None:
    assert shared_out(asked, machines) == share
    assert share.threads >= 1


def test_a_cluster_that_is_not_there_is_one_line() -> None:
    with pytest.raises(BackendUnavailable, match=r"no Ray cluster at '127\.0\.0\.1:1' \(connection refused\)"):
        RayWorkers(1, address="127.0.0.1:1")
