"""The ops on an NVIDIA GPU, for whole batches: pictures to the network's tensor, its outputs to faces.

``open_ops`` opens them. All work is queued on one stream that is not the default one; only calls that say so wait for
the GPU. The kernels are in ``csrc/*_cuda.cu`` and are compiled when they are first used. ``device`` is the only module
that imports CuPy: others get it from ``load_cupy``.
"""

from acfd_stream.ops.cuda.batch import CudaOps, open_ops
from acfd_stream.ops.cuda.device import load_cupy

__all__ = ["CudaOps", "load_cupy", "open_ops"]
