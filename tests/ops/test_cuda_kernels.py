"""The CUDA sources without a GPU: they compile for every one we name, and no thread reads what it did not wait for."""

from __future__ import annotations

import shutil
import subprocess
import sys

import numpy as np
import pytest

from acfd_stream.ops.cuda import kernels, records
from acfd_stream.ops.cuda.kernels import COMPILE_OPTIONS, SOURCES, kernel_source, machine_code, source_folder
from tests.ops.compilers import ARCHITECTURES, Nvrtc, compile_by_nvcc
from tests.ops.cuda_on_cpu.device import CSRC, HERE, CpuDevice, library

# ADDR_NO_RANDOMIZE: older ThreadSanitizers lose their way where addresses are drawn from a wide range.
KEEP_ADDRESSES = "import ctypes, os, sys; ctypes.CDLL(None).personality(0x40000); os.execv(sys.argv[1], sys.argv[1:])"
KERNELS = (b"letterbox_taps", b"letterbox", b"decode_anchors", b"nms")
RACE_FLAGS = "-std=c++17 -O1 -g -fsanitize=thread -ffp-contract=off -Wno-unknown-pragmas"
# The field of each record that acfd_offset of kernels.cpp speaks of, in its order.
OFFSETS = [
    (records.AXIS_TAPS, "samples"),
    (records.LETTERBOX_PICTURE, "tone"),
    (records.LETTERBOX_PICTURE, "row_bytes"),
    (records.LETTERBOX_PICTURE, "rows"),
    (records.LETTERBOX_PICTURE, "columns"),
    (records.LETTERBOX_PICTURE, "layout"),
    (records.LETTERBOX_PICTURE, "color"),
    (records.NETWORK_TENSOR, "channel_step"),
    (records.NETWORK_TENSOR, "element_bytes"),
    (records.NETWORK_TENSOR, "pad"),
    (records.ANCHOR_LEVEL, "width"),
    (records.VIEW_PLACEMENT, "ratio_x"),
    (records.VIEW_PLACEMENT, "display_height"),
    (records.CANDIDATE_COUNT, "passed"),
    (records.FACE_COUNT, "cut_score"),
    (records.FACE_ROW, "index"),
]


def require_code(code):
    assert code.startswith(b"\x7fELF")
    assert [name for name in KERNELS if name not in code] == []


@pytest.mark.parametrize("capability", [(7, 5), (8, 0), (9, 0)])
def test_the_kernels_compile_as_on_a_gpu_and_only_once(capability, tmp_path, monkeypatch):
    monkeypatch.setenv("ACFD_CACHE_DIR", str(tmp_path))
    nvrtc = Nvrtc()
    code = machine_code(nvrtc, capability)
    require_code(code)
    assert nvrtc.compiled == [(*COMPILE_OPTIONS, "--gpu-architecture=sm_{}{}".format(*capability))]
    assert machine_code(nvrtc, capability) == code
    assert len(nvrtc.compiled) == 1


class QuickNvrtc(Nvrtc):
    """Knows nothing newer than 9.0, and compiles nothing."""

    def __init__(self, version=(13, 0)):
        self.compiled = []
        self.getVersion, self.getSupportedArchs = lambda: version, lambda: (75, 80, 90)
        self._call = lambda *_: None
        self._text = lambda what, _: f"{what} {len(self.compiled)}".encode()


def test_a_gpu_newer_than_the_compiler_gets_what_its_driver_compiles(tmp_path, monkeypatch):
    monkeypatch.setenv("ACFD_CACHE_DIR", str(tmp_path))
    nvrtc = QuickNvrtc()
    assert machine_code(nvrtc, (12, 0)) == b"PTX 1"
    assert nvrtc.compiled[0][-1] == "--gpu-architecture=compute_90"


def test_another_source_or_compiler_is_compiled_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("ACFD_CACHE_DIR", str(tmp_path))
    nvrtc = QuickNvrtc()
    assert machine_code(nvrtc, (9, 0)) == machine_code(nvrtc, (9, 0)) == b"CUBIN 1"
    assert machine_code(nvrtc, (8, 0)) == b"CUBIN 2"
    monkeypatch.setattr(kernels, "kernel_source", lambda: "// another")
    assert machine_code(nvrtc, (9, 0)) == b"CUBIN 3"
    newer = QuickNvrtc(version=(13, 1))
    assert machine_code(newer, (9, 0)) == b"CUBIN 1"
    assert len(newer.compiled) == 1


def test_a_cache_that_cannot_be_written_costs_time_only(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ACFD_CACHE_DIR", str(tmp_path / "file"))
    nvrtc = QuickNvrtc()
    assert [machine_code(nvrtc, (9, 0)) for _ in range(2)] == [b"CUBIN 1", b"CUBIN 2"]


def test_denormals_and_roundings_are_the_laws():
    assert {"--ftz=false", "--fmad=false"} <= set(COMPILE_OPTIONS)  # compilers flush and contract unless told


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="no nvcc; NVRTC compiles the same in the test above")
def test_the_kernels_compile_without_a_warning_where_there_is_nvcc(tmp_path):
    code = compile_by_nvcc("nvcc", kernel_source(), COMPILE_OPTIONS, tmp_path)
    assert set(code) == set(ARCHITECTURES)
    for compiled in code.values():
        require_code(compiled)


def test_an_error_in_a_kernel_is_told_with_the_compilers_words(tmp_path, monkeypatch):
    monkeypatch.setenv("ACFD_CACHE_DIR", str(tmp_path))
    broken = kernel_source() + "\n__global__ void broken() { nowhere(); }\n"
    monkeypatch.setattr(kernels, "kernel_source", lambda: broken)
    with pytest.raises(Nvrtc.NVRTCError) as caught:
        machine_code(Nvrtc(), (9, 0))
    assert 'identifier "nowhere" is undefined' in caught.value.__notes__[0]
    assert list(tmp_path.rglob("*")) == []


def test_the_source_is_one_text_with_every_header_once():
    source = kernel_source()
    assert source.count("#include") == source.count("#include <string.h>") == 1  # which NVRTC does not come to
    assert "#pragma once" not in source
    for header in ("box_math.h", "preprocess.h", "cuda_jobs.h", "block_ranks.h"):
        first_line = (CSRC / header).read_text().splitlines()[0]
        assert source.count(first_line) == 1


def test_the_kernels_know_nothing_of_python_torch_or_cupy():
    for name in SOURCES:
        assert "<" not in "".join(line for line in (CSRC / name).read_text().splitlines() if "#include" in line)


def test_the_sources_are_found_in_a_checkout():
    assert source_folder() == CSRC


def test_records_lie_in_memory_as_the_kernels_read_them():
    offsets = [library().acfd_offset(which) for which in range(len(OFFSETS))]
    assert offsets == [kind.fields[name][1] for kind, name in OFFSETS]
    assert library().acfd_offset(len(OFFSETS)) == -1


@pytest.fixture(scope="module")
def race_check(tmp_path_factory):
    """The program that runs every kernel under ThreadSanitizer."""
    target = tmp_path_factory.mktemp("race") / "race_check"
    command = ["c++", *RACE_FLAGS.split(), f"-I{CSRC}", f"-I{HERE}", str(HERE / "race_check.cpp"), "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return str(target)


def run_race_check(*arguments):
    command = [sys.executable, "-c", KEEP_ADDRESSES, *arguments]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=200)


def test_no_two_threads_of_a_block_touch_the_same_memory_without_a_barrier(race_check):
    done = run_race_check(race_check)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_planted_race_is_noticed(race_check):
    done = run_race_check(race_check, "planted")
    assert done.returncode != 0
    assert "data race" in done.stderr


def run_planted(kernel, seed=0):
    device = CpuDevice(seed)
    out = device.empty((64,), np.int32)
    device.launch(kernel, (1, 1, 1), 64, [np.uint64(device.address(out))])
    return out.tolist()


def test_a_forgotten_barrier_shows_in_some_order_of_the_threads():
    assert any(run_planted("forgets_a_barrier", seed) != list(range(63, -1, -1)) for seed in range(5))


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        ("leaves_a_barrier_early", "threads wait at a barrier that others do not come to"),
        ("writes_behind_the_end", "wrote past an end of an array"),
    ],
)
def test_the_stand_in_for_a_gpu_notices_a_broken_kernel(kernel, message):
    with pytest.raises(AssertionError, match=message):
        run_planted(kernel)


def test_the_stand_in_works_on_after_a_broken_kernel():
    with pytest.raises(AssertionError):
        run_planted("leaves_a_barrier_early")
    assert len(run_planted("forgets_a_barrier")) == 64
