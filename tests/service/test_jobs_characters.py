"""What readers of a job are told about characters: while it runs what is known so far, afterwards the final answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import grpc
import pytest

from acfd_stream.characters import Character, CharacterLink
from acfd_stream.outputs import ResultEnd
from acfd_stream.outputs.jsonl import JsonlLines
from acfd_stream.recording.record import Recording
from acfd_stream.recording.task import RecordingProgress
from acfd_stream.service.jobs.attempts import JobContext
from acfd_stream.types import Face, FrameResult
from acfd_stream.v1 import job_pb2, stream_pb2
from acfd_stream.wire.messages import characters_of, result_of
from tests.service.job_fixture import DONE
from tests.service.test_jobs_calls import BASE, HEADER, START, LineWork, Service, serve

__all__ = ["serve"]
FRAMES = 3000  # of more than a page
FINAL = (Character(1, (1, 2), 0.875, "Velma"), Character(3, (4,), 1.0))
FACES = (Face(1, (1.0, 2.0, 30.0, 40.0), 0.5), Face(3, (50.0, 2.0, 80.0, 40.0), 0.5))
WITH = stream_pb2.TrackConfig(with_characters=True)


def result(index: int) -> FrameResult:
    """Track 1 is thought to be character 2 from frame 1 on, and track 3 to be character 1."""
    first, third = FACES
    faces = (replace(first, character=2 if index else 0), replace(third, character=1))
    links = (CharacterLink(1, 2, 0.5), CharacterLink(3, 1, 0.75)) if index == 1 else ()
    return FrameResult(index, index * 2, BASE, float(index * 2 * BASE), faces, links=links)


class CharacterWork(LineWork):
    """Finds characters, waiting for ``gate`` before the frame ``held``; "cut" has no closing line."""

    def __call__(self, context: JobContext) -> Recording:
        request = job_pb2.SubmitJobRequest.FromString(context.job.request)
        start = stream_pb2.TrackStart.FromString(START.SerializeToString())
        if request.config.with_characters:
            start.character_model.name = "acfd-id"
        lines = JsonlLines(HEADER)
        context.describe(start.SerializeToString(), FRAMES)
        context.lines.append(lines.header())
        for index in range(FRAMES):
            if index == self.held:
                self.gate.acquire()
            context.lines.append(lines.frame(result(index)))
            context.on_progress(RecordingProgress(frames=index + 1, tracks=3), result(index))
        if request.uri == "cut":
            raise ValueError("no end")
        context.lines.append(lines.end(ResultEnd(4, characters=FINAL)))
        return DONE


@pytest.fixture
def service(serve: Callable[..., Service]) -> Service:
    return serve(CharacterWork())


def frames_of(messages: Iterable[Any]) -> Iterator[FrameResult]:
    return (result_of(frame, BASE) for message in messages for frame in message.results.frames)


@pytest.mark.parametrize("first_index", [0, 1, FRAMES - 1])
def test_a_job_that_is_done_gives_the_final_answer(service: Service, first_index: int) -> None:
    job = service.submit("all", with_characters=True)
    list(service.results(job.job_id))
    messages = list(service.results(job.job_id, first_index))
    found = list(frames_of(messages))
    final = (replace(FACES[0], character=1, name="Velma"), FACES[1])
    assert {(each.faces, each.links) for each in found} == {(final, ())}
    assert len(found) == FRAMES - first_index
    assert characters_of(messages[-1].end.characters) == FINAL


def test_a_job_that_runs_gives_what_is_known_and_the_answer_at_its_end(serve: Callable[..., Service]) -> None:
    service = serve(CharacterWork(held=2))
    messages = service.results(service.submit("all", with_characters=True).job_id)
    found: list[FrameResult] = []
    while len(found) < 2:
        found += frames_of([next(messages)])
    service.work.gate.release()
    *rest, end = messages
    assert [*found, *frames_of(rest)] == [result(index) for index in range(FRAMES)]
    assert characters_of(end.end.characters) == FINAL


def test_a_job_that_was_cut_off_keeps_what_was_known(service: Service) -> None:
    job_id = service.submit("cut", with_characters=True).job_id
    for _ in range(2):  # while it runs, and afterwards
        found: list[FrameResult] = []
        with pytest.raises(grpc.RpcError, match="no end"):
            found.extend(frames_of(service.results(job_id)))
        assert found == [result(index) for index in range(FRAMES)]
