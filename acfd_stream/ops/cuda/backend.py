"""The backend "cuda" of ``ops``. Importing it opens the first GPU and fails if there is none."""

from acfd_stream.ops.cuda.batch import open_ops
from acfd_stream.ops.cuda.single import CudaBackend

_backend = CudaBackend(open_ops())
letterbox = _backend.letterbox
mean_pool = _backend.mean_pool
decode_anchors = _backend.decode_anchors
nms = _backend.nms
