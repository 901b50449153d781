"""What the tables of the ops' tests are run over."""

from acfd_stream.ops import _backend, available_backends

_backend._MODULES.setdefault("cuda-on-cpu", "tests.ops.cuda_on_cpu.backend")
BACKENDS = (*(name for name in available_backends() if name != "cuda-on-cpu"), "cuda-on-cpu")
