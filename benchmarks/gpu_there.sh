#!/usr/bin/env bash
# Runs the GPU suite on a machine with a GPU and CUDA's Python packages but without a network; see gpu_pack.py.
#
#   gpu_there.sh prepare BASE         unpack what gpu_pack.py wrote to BASE, and check that everything is found
#   gpu_there.sh suite TO [OPTION …]  benchmarks/gpu_suite.py with these options; the JSON is copied to the folder TO
#   gpu_there.sh test TO              only the tests of make test-gpu
#   gpu_there.sh trt-add FILE …       append parts of the TensorRT bundle, in order; once the last is there: trt-unpack
#   gpu_there.sh trt-unpack
#
# PYTHON (python3) has torch and CuPy; ACFD_WORK (~/acfd-gpu) keeps the state between calls; TRT_HOME (~/trt).
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
WORK=${ACFD_WORK:-$HOME/acfd-gpu}
export TRT_HOME=${TRT_HOME:-$HOME/trt} ACFD_SUITE_WORK=$WORK/suite ACFD_CACHE_DIR=$WORK/cache PYTHONUNBUFFERED=1

# The package in a wheel's layout: with model/, csrc/, and the compiled and generated files.
package() {
  rm -rf "$WORK/package"
  mkdir -p "$WORK/package"
  cp -r acfd_stream "$WORK/package/acfd_stream"
  find "$WORK/package" -name '_C.*.so' -delete
  cp -r model csrc "$WORK/package/acfd_stream/"
  cp "$WORK"/base/v1/*_pb2* "$WORK/package/acfd_stream/v1/"
  compiled
}

compiled() {
  local target=$WORK/package/acfd_stream
  cp "$WORK"/base/compiled/_C.*.so "$target/" 2> /dev/null || true
  if in_package -c 'import acfd_stream._C' 2> /dev/null; then return; fi
  rm -f "$target"/_C.*.so
  echo "the packed C++ ops do not load; compiling them here"
  local include suffix
  include=$("$PYTHON" -m pybind11 --includes) || true
  suffix=$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_config_var("EXT_SUFFIX"))')
  # shellcheck disable=SC2086
  if ! g++ -O3 -std=c++17 -ffp-contract=off -fvisibility=hidden -shared -fPIC $include -Icsrc csrc/*.cpp -o "$target/_C$suffix"; then
    echo "the C++ ops could not be compiled; parts that need them will fail"
  fi
}

# Falls back to Python if there is no xz.
unpacked() {
  tar xJf "$1" -C "$2" 2> /dev/null \
    || "$PYTHON" -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2], filter="tar")' "$1" "$2"
}

in_package() {
  # -P: neither the working directory nor the script's folder takes precedence over the package.
  PYTHONPATH=$WORK/package:$WORK/base/site:$PWD/benchmarks:$PWD:${PYTHONPATH:-} "$PYTHON" -P "$@"
}

prepare() {
  mkdir -p "$WORK/base" "$ACFD_SUITE_WORK"
  unpacked "$1/base.tar.xz" "$WORK/base"
  package
  in_package - << 'P'
import importlib
for name in ("numpy", "cupy", "torch", "torchvision", "av", "onnx", "cv2", "scipy", "pytest", "acfd_stream", "acfd_stream._C"):
    try:
        module = importlib.import_module(name)
        print(f"{name:<16} {getattr(module, '__version__', 'found')}  {getattr(module, '__file__', '')}")
    except Exception as error:
        print(f"{name:<16} MISSING: {error}")
P
}

suite() {
  local to=$1 code=0
  shift
  mkdir -p "$to"
  if [ -d "$WORK/base" ]; then package > /dev/null; fi  # the sources may have changed since
  export ACFD_SKELETON=$WORK/base/acfd-51.skeleton.onnx ACFD_CLIP=$WORK/base/clip.mp4 ACFD_TRT_SITE=$WORK/base/trt-site
  ACFD_COMMIT=$(cat "$WORK/base/commit")
  export ACFD_COMMIT
  in_package benchmarks/gpu_suite.py --out "$WORK/gpu.json" "$@" 2>&1 | tee "$to/suite.log" || code=$?
  if [ -e "$WORK/gpu.json" ]; then cp "$WORK/gpu.json" "$to/gpu.json"; fi
  return "$code"
}

case ${1:-} in
  prepare) prepare "${2:?BASE}" ;;
  suite) shift && suite "${@:?TO}" ;;
  test) mkdir -p "${2:?TO}" && FAIL_WITHOUT_GPU=1 in_package -m pytest -o pythonpath= -m gpu -W default tests/test_gpu.py 2>&1 | tee "$2/test.log" ;;
  trt-add) shift && cat "${@:?FILE}" >> "$TRT_HOME.tar.xz" && ls -l "$TRT_HOME.tar.xz" ;;
  trt-unpack)
    mkdir -p "$TRT_HOME.parts" && unpacked "$TRT_HOME.tar.xz" "$TRT_HOME.parts" && rm -rf "$TRT_HOME" && mv -T "$TRT_HOME.parts/trt" "$TRT_HOME"
    "$TRT_HOME/python" -c 'import tensorrt, numpy; print("tensorrt", tensorrt.__version__, "numpy", numpy.__version__)'
    ;;
  *) sed -n '2,11p' "$0" && exit 2 ;;
esac
