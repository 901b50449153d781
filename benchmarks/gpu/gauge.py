"""Utilisation of cores, GPU and NVDEC while something runs."""

from __future__ import annotations

import os
import threading
import time
from types import TracebackType
from typing import Any

import numpy as np

_STEP_SECONDS = 0.1


class Gauge:
    """Context manager that samples the GPU; shares are available afterwards. Without NVML only the cores are known."""

    def __init__(self) -> None:
        self.cores = 0.0  # of this process; 1.0: one core all the time
        self.samples: dict[str, list[float]] = {"gpu": [], "nvdec": [], "memory": []}
        self.why = ""  # no NVML
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Gauge:
        self._begin = (time.perf_counter(), sum(os.times()[:2]))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        wall = time.perf_counter() - self._begin[0]
        self.cores = (sum(os.times()[:2]) - self._begin[1]) / wall
        self._stop.set()
        self._thread.join()

    def mean(self, what: str) -> float | None:
        """Share of time that ``what`` ("gpu", "nvdec", "memory") was busy; None if unknown."""
        values = self.samples[what]
        return float(np.mean(values)) if values else None

    def _watch(self) -> None:
        try:
            import pynvml

            pynvml.nvmlInit()
            handle = pynvml.nvmlDeviceGetHandleByIndex(0)
            while not self._stop.wait(_STEP_SECONDS):
                self._take(pynvml, handle)
        except Exception as error:  # the figures of the cores stand without it
            self.why = str(error)[:200] or type(error).__name__

    def _take(self, pynvml: Any, handle: Any) -> None:
        rates = pynvml.nvmlDeviceGetUtilizationRates(handle)
        self.samples["gpu"].append(rates.gpu / 100)
        self.samples["memory"].append(rates.memory / 100)
        self.samples["nvdec"].append(pynvml.nvmlDeviceGetDecoderUtilization(handle)[0] / 100)
