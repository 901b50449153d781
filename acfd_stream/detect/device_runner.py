"""A network on a GPU for arrays on the host: the ``Runner`` that tests and comparisons ask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from acfd_stream.detect.device import GpuNetwork
from acfd_stream.detect.device_sizes import NetworkSizes
from acfd_stream.detect.runner import EngineFacts, ModelSpec, check_finite, check_images
from acfd_stream.ops.anchors import anchor_count
from acfd_stream.types import FloatArray


class DeviceRunner:
    """A ``Runner`` on a GPU: pictures are normalised on the host and copied, which ``DevicePath`` does without."""

    concurrency = 1

    def __init__(self, gpu: GpuNetwork) -> None:
        self._gpu = gpu
        self._sizes = NetworkSizes(gpu)

    @property
    def spec(self) -> ModelSpec:
        """What the model file says of itself."""
        return self._gpu.network.spec

    @property
    def facts(self) -> EngineFacts:
        """What runs the network."""
        return self._gpu.network.facts

    def run(self, images: NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
        """Scores and deltas of every anchor; see ``Runner.run``."""
        size = check_images(images)
        anchors = anchor_count(size, self.spec.anchors)
        scores = np.empty((len(images), anchors), np.float32)
        deltas = np.empty((len(images), anchors, 4), np.float32)
        self._sizes.prepare(size)
        with self._sizes.stream():
            network = self._sizes.at(size)
            batch = network.usable[-1]
            for begin in range(0, len(images), batch):
                part = slice(begin, begin + batch)
                values = self._normalised(images[part])
                self._gpu.ops.to_device(values, network.letterboxes.images[: len(values)])
                network.launch(len(values))
                scores[part], deltas[part] = network.outputs(len(values))
        check_finite(self.spec.name, scores, deltas)
        return scores, deltas

    def close(self) -> None:
        """Free the network; a second call does nothing."""
        self._sizes.close()

    def _normalised(self, images: NDArray[np.uint8]) -> NDArray[np.floating]:
        values = (images.astype(np.float32) - np.array(self.spec.mean, np.float32)) / np.array(
            self.spec.std, np.float32
        )
        return np.ascontiguousarray(values.transpose(0, 3, 1, 2).astype(self._gpu.network.dtype))
