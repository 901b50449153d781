"""What the tables of the ops' tests are run over."""

import pytest

from acfd_stream.ops import _backend

_backend._MODULES.setdefault("cuda-on-cpu", "tests.ops.cuda_on_cpu.backend")
BACKENDS = ("reference", "cpp", "cuda-on-cpu", pytest.param("cuda", marks=pytest.mark.gpu))
