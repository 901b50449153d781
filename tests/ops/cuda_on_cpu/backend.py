"""The backend "cuda-on-cpu": the CUDA kernels behind the same three functions as every other one."""

from acfd_stream.ops.cuda.batch import CudaOps
from acfd_stream.ops.cuda.single import CudaBackend
from tests.ops.cuda_on_cpu.device import CpuDevice

# Four warps see everything that thirty-two do, and there are fewer threads to switch between.
_backend = CudaBackend(CudaOps(CpuDevice(block_threads=128)))
letterbox = _backend.letterbox
mean_pool = _backend.mean_pool
decode_anchors = _backend.decode_anchors
nms = _backend.nms
