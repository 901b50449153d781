"""The network at each input size: buffers, one program per batch size, and a check that batches change no result.

Compilers choose kernels by shape, and kernels that add in a different order differ in the last bits. Every batch size
is therefore run on the same test pictures when an input size is new. The reference is the largest batch in which the
position of a picture changes nothing. A batch size with other results is not used: its pictures run in a larger batch
or in several smaller ones.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from acfd_stream.detect.device import GpuNetwork, Program
from acfd_stream.detect.runner import COMPILED_SHAPES, check_finite
from acfd_stream.errors import RunnerError
from acfd_stream.ops.anchors import anchor_count
from acfd_stream.types import FloatArray

_log = logging.getLogger(__name__)

_DIFFERENT_PICTURES = 4  # in the test batch: neighbours differ, and a large batch stays cheap to make
_Outputs = tuple[FloatArray, FloatArray]


def batches(most: int) -> tuple[int, ...]:
    """The compiled batch sizes, rising: powers of two, and ``most``."""
    return tuple(sorted({min(1 << power, most) for power in range(most.bit_length())} | {most}))


class SizedNetwork:
    """The network at one size. For one thread at a time."""

    def __init__(self, gpu: GpuNetwork, size: tuple[int, int]) -> None:
        self._gpu = gpu
        spec, most = gpu.network.spec, gpu.config.batch
        anchors = anchor_count(size, spec.anchors)
        self.letterboxes = gpu.ops.letterboxes(most, size, gpu.network.dtype, spec.pad, spec.mean, spec.std)
        self.scores = gpu.ops.empty((most, anchors), np.float32)
        self.deltas = gpu.ops.empty((most, anchors, 4), np.float32)
        counts = batches(most)
        programs = gpu.network.programs(size, counts, self.letterboxes.images, self.scores, self.deltas)
        self._programs = self._agreeing(dict(zip(counts, programs, strict=True)), size)

    @property
    def usable(self) -> tuple[int, ...]:
        """Batch sizes that give the same results, rising; the last is the most pictures at once."""
        return tuple(self._programs)

    def launch(self, count: int) -> None:
        """Queue the network on the first ``count`` pictures, at most ``usable[-1]``."""
        self._programs[next(batch for batch in self._programs if batch >= count)].launch()

    def outputs(self, count: int) -> tuple[FloatArray, FloatArray]:
        """Scores [count, A] and deltas [count, A, 4] on the host; waits for them."""
        return self._gpu.ops.to_host(self.scores[:count]), self._gpu.ops.to_host(self.deltas[:count])

    def _agreeing(self, programs: dict[int, Program], size: tuple[int, int]) -> dict[int, Program]:
        """The ``programs`` whose results are equal to the last bit, whatever the position of a picture."""
        name, patterns = self._gpu.network.spec.name, self._patterns(size)
        reference: list[_Outputs] = []
        usable = {}
        for batch, program in sorted(programs.items(), reverse=True):
            given = [self._tested(program, batch, images) for images in patterns]
            again = [self._tested(program, batch, images) for images in patterns]
            turned = [self._tested(program, batch, np.roll(images, 1, axis=0)) for images in patterns]
            check_finite(name, *given[0])
            if not _are_same(again, given):
                raise RunnerError(
                    f"model {name} at {size[0]}×{size[1]} gives other results when run again: it has a race"
                )
            if _are_same(turned, given, shift=1):  # else the position of a picture matters
                reference = reference or given
                if _are_same(given, reference):
                    usable[batch] = program
        if len(usable) < len(programs):
            _log.info("%s at %d×%d runs in batches of %s: others differ in the last bits", name, *size, sorted(usable))
        return dict(sorted(usable.items()))

    def _patterns(self, size: tuple[int, int]) -> list[NDArray[Any]]:
        """Normalised test batches: noise, and blocks of one colour; a few different pictures, repeated."""
        spec, random = self._gpu.network.spec, np.random.default_rng(0)
        count, (height, width) = min(self._gpu.config.batch, _DIFFERENT_PICTURES), size
        noise = random.integers(0, 256, (count, 3, height, width), np.uint8)
        blocks = random.integers(0, 256, (count, 3, height // 16, width // 16), np.uint8)
        mean, std = (np.array(values, np.float32).reshape(3, 1, 1) for values in (spec.mean, spec.std))
        patterns = []
        for levels in (noise, blocks.repeat(16, axis=2).repeat(16, axis=3)):
            images = ((levels.astype(np.float32) - mean) / std).astype(self._gpu.network.dtype)
            patterns.append(np.resize(images, (self._gpu.config.batch, *images.shape[1:])))
        return patterns

    def _tested(self, program: Program, batch: int, images: NDArray[Any]) -> _Outputs:
        """The outputs of ``program`` for the first ``batch`` images; values that it does not write are NaN."""
        self._gpu.ops.to_device(images[:batch], self.letterboxes.images[:batch])
        for target in (self.scores[:batch], self.deltas[:batch]):
            self._gpu.ops.to_device(np.full(target.shape, np.nan, np.float32), target)
        program.launch()
        return self.outputs(batch)


def _are_same(given: Sequence[_Outputs], expected: Sequence[_Outputs], shift: int = 0) -> bool:
    """Whether row n of ``given`` equals row n - shift of ``expected`` to the last bit, for all rows of both."""
    pairs = [pair for one, two in zip(given, expected, strict=True) for pair in zip(one, two, strict=True)]
    counts = [min(len(one), len(two)) for one, two in pairs]
    return all(
        np.array_equal(one[shift:count], two[: count - shift]) for (one, two), count in zip(pairs, counts, strict=True)
    )


class NetworkSizes:
    """The network at the last used sizes, each made when it first occurs. May be used from several threads."""

    def __init__(self, gpu: GpuNetwork) -> None:
        self.gpu = gpu
        self._stream = Lock()  # guards the stream and its queue
        self._compiling = Lock()  # one size at a time; known sizes keep running
        self._sizes: LRUCache[tuple[int, int], SizedNetwork] = LRUCache(COMPILED_SHAPES)
        self._is_closed = False

    def prepare(self, size: tuple[int, int]) -> None:
        """Compile what ``size`` needs unless it is known; other sizes keep running."""
        if size in self._sizes:
            return
        with self._compiling:
            self._check_open()
            self.gpu.network.compile(size, batches(self.gpu.config.batch))

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Give the caller exclusive use of the stream.

        Raises:
            RunnerError: it is closed.
        """
        with self._stream:
            self._check_open()
            yield

    def at(self, size: tuple[int, int]) -> SizedNetwork:
        """The network at ``size``; inside ``stream`` only."""
        if size not in self._sizes:
            self._sizes[size] = SizedNetwork(self.gpu, size)
            _log.debug("%s is ready at %d×%d", self.gpu.network.spec.name, *size)
        return self._sizes[size]

    def close(self) -> None:
        """Free everything; a second call does nothing."""
        with self._compiling, self._stream:
            if not self._is_closed:
                self._is_closed = True
                self._sizes.clear()
                self.gpu.close()

    def _check_open(self) -> None:
        if self._is_closed:
            raise RunnerError(f"model {self.gpu.network.spec.name} is closed")
