"""The network at the sizes that come: buffers, a program a batch, and proof that the batch changes nothing.

Compilers choose kernels by shape, and kernels that add in another order differ in the last bits. So every batch is run
once on the same noise: one that does not give what the largest gives is not used, its pictures go in a larger one.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from acfd_stream.detect.device import GpuNetwork, Letterboxes, Program
from acfd_stream.detect.runner import COMPILED_SHAPES, check_finite
from acfd_stream.errors import RunnerError
from acfd_stream.ops.anchors import anchor_count
from acfd_stream.types import FloatArray

_log = logging.getLogger(__name__)


def batches(most: int) -> tuple[int, ...]:
    """Sizes of batches that are compiled, rising: powers of two, and ``most``."""
    return tuple(sorted({min(1 << power, most) for power in range(most.bit_length())} | {most}))


class SizedNetwork:
    """The network at one size. For one thread at a time."""

    def __init__(self, gpu: GpuNetwork, size: tuple[int, int]) -> None:
        self._gpu = gpu
        spec, most = gpu.network.spec, gpu.config.batch
        anchors = anchor_count(size, spec.anchors)
        self.letterboxes: Letterboxes = gpu.ops.letterboxes(
            most, size, gpu.network.dtype, spec.pad, spec.mean, spec.std
        )
        self.scores = gpu.ops.empty((most, anchors), np.float32)
        self.deltas = gpu.ops.empty((most, anchors, 4), np.float32)
        counts = batches(most)
        programs = gpu.network.programs(size, counts, self.letterboxes.images, self.scores, self.deltas)
        self._programs = self._agreeing(dict(zip(counts, programs, strict=True)), size)

    @property
    def usable(self) -> tuple[int, ...]:
        """Sizes of batches that give the same results, rising."""
        return tuple(self._programs)

    def launch(self, count: int) -> None:
        """Queue the network on the first ``count`` pictures, at most as many as a batch has."""
        self._programs[next(batch for batch in self._programs if batch >= count)].launch()

    def outputs(self, count: int) -> tuple[FloatArray, FloatArray]:
        """Scores [count, A] and deltas [count, A, 4] on the host, once they are there."""
        return self._gpu.ops.to_host(self.scores[:count]), self._gpu.ops.to_host(self.deltas[:count])

    def _agreeing(self, programs: dict[int, Program], size: tuple[int, int]) -> dict[int, Program]:
        """Those of ``programs`` whose results equal the largest one's to the last bit; it is among them."""
        most, name = max(programs), self._gpu.network.spec.name
        images = self.letterboxes.images
        levels = np.random.default_rng(0).integers(0, 256, (most, 3, *size)).astype(np.float32)
        noise = (levels - _by_channel(self._gpu.network.spec.mean)) / _by_channel(self._gpu.network.spec.std)
        self._gpu.ops.to_device(noise.astype(self._gpu.network.dtype), images)
        programs[most].launch()
        expected = self.outputs(most)
        check_finite(name, *expected)
        usable = {}
        for batch, program in sorted(programs.items()):
            for target in (self.scores, self.deltas):
                self._gpu.ops.to_device(np.full(target.shape, np.nan, np.float32), target)
            program.launch()
            if all(np.array_equal(got, want[:batch]) for got, want in zip(self.outputs(batch), expected, strict=True)):
                usable[batch] = program
        if most not in usable:
            raise RunnerError(
                f"model {name} at {size[0]}×{size[1]} does not give the same twice: a race in the runtime"
            )
        if len(usable) < len(programs):
            _log.info("%s at %d×%d runs in batches of %s: others differ in the last bits", name, *size, list(usable))
        return usable


class NetworkSizes:
    """The network at the sizes that came last, each made when it first comes. May be used from several threads."""

    def __init__(self, gpu: GpuNetwork) -> None:
        self.gpu = gpu
        self._stream = Lock()  # the stream, and all that is queued on it
        self._compiling = Lock()  # one at a time, while sizes that are there go on being run
        self._sizes: OrderedDict[tuple[int, int], SizedNetwork] = OrderedDict()
        self._is_closed = False

    def prepare(self, size: tuple[int, int]) -> None:
        """Compile what ``size`` needs, unless it is there; others go on meanwhile."""
        if size in self._sizes:
            return
        with self._compiling:
            self._check_open()
            self.gpu.network.compile(size, batches(self.gpu.config.batch))

    @contextmanager
    def stream(self) -> Iterator[None]:
        """The stream is the caller's alone inside.

        Raises:
            RunnerError: all is closed.
        """
        with self._stream:
            self._check_open()
            yield

    def at(self, size: tuple[int, int]) -> SizedNetwork:
        """The network at ``size``; inside ``stream`` only."""
        if size not in self._sizes:
            self._sizes[size] = SizedNetwork(self.gpu, size)
            _log.debug("%s is ready at %d×%d", self.gpu.network.spec.name, *size)
        self._sizes.move_to_end(size)
        while len(self._sizes) > COMPILED_SHAPES:
            self._sizes.popitem(last=False)
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


def _by_channel(values: tuple[float, float, float]) -> NDArray[np.float32]:
    return np.array(values, np.float32).reshape(3, 1, 1)
