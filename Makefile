# The first target that needs it makes a virtual environment in $(VENV); install nothing by hand.
#
#   PYTHON=python3.12   the interpreter of the virtual environment
#   VENV=.venv          folder of the virtual environment
#   TORCH=torch==2.13.0 the torch of `make test`; its CPU build if the package index has one
#   TESTERS=2           processes that `make test` shares its files among, 1 to 2 GB of memory each
#   VIDEO=film.mkv      the video that `make demo` tracks; without it, a drawn clip
#   FILM=long.mp4       the video on which `make bench` measures memory

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo test test-programs test-gpu check site wheel bench bench-peers clean

PYTHON ?= python3
VENV ?= .venv
TORCH ?= torch==2.13.0
TESTERS ?= 2
VIDEO ?=
FILM ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input
PACKAGE := $(VENV)/.package-installed
TESTING := $(VENV)/.test-extras-installed
TOOLS := $(VENV)/.dev-extras-installed
PEERS := $(VENV)-peers
PROGRAMS := $(abspath $(VENV))/debian
BUILD_INPUTS := pyproject.toml setup.py $(wildcard csrc/*.cpp csrc/*.h csrc/*.cu protos/acfd_stream/v1/*.proto)
RESULT := out/$(if $(VIDEO),video,demo)
WRITTEN := -o $(RESULT).jsonl --overlay $(RESULT).overlay.mp4 --report $(RESULT).report.html

help:
	@echo "make demo       draw a cartoon, track its faces, write a report, score the tracks (VIDEO=file: track that file)"
	@echo "make test       all tests except those that need a GPU"
	@echo "make test-gpu   the tests that need a GPU; fails without a GPU"
	@echo "make check      ruff, mypy, clang-format, and the pages of the documentation"
	@echo "make site       write the documentation as a site to site/"
	@echo "make wheel      build a wheel in dist, and try it in an environment without a compiler"
	@echo "make bench      measure, and write benchmarks/results and the tables of README.md and docs"
	@echo "make clean      remove build products and results"

demo: $(PACKAGE)
	@mkdir -p out
ifeq ($(VIDEO),)
	$(BIN)/python -m acfd_stream.model.toon demo out/demo.mp4 --truth out/demo.truth.json
	$(BIN)/acfd-stream track out/demo.mp4 $(WRITTEN)
	$(BIN)/python -m acfd_stream.model.scoring out/demo.jsonl out/demo.truth.json --least-idf1 0.90 --least-recall 0.95
else
	$(BIN)/acfd-stream track "$(VIDEO)" $(WRITTEN)
endif
	@tail -n 1 $(RESULT).jsonl | $(BIN)/python -c \
	  'import json, sys; end = json.load(sys.stdin); print(end["tracks"], "tracks in", end["frames"], "frames")'
	@echo "$(RESULT).jsonl"
	@echo "$(RESULT).overlay.mp4"
	@echo "$(RESULT).report.html"

# The tests start hundreds of Python processes. Each would compile the package anew where no bytecode may be written.
# The processes of the tests share the cores already, so that none of them needs several threads for torch and NumPy.
test: export PYTHONDONTWRITEBYTECODE =
test: export OMP_NUM_THREADS = 1
test: $(TESTING) test-programs
	PATH="$(PROGRAMS)/usr/bin:$$PATH" \
	  $(BIN)/python -m pytest --numprocesses=$(TESTERS) --dist=loadfile --durations=50 --durations-min=1

test-programs:
	@tests/debian_programs.sh "$(PROGRAMS)"

test-gpu: $(TESTING)
	FAIL_WITHOUT_GPU=1 $(BIN)/python -m pytest -m gpu

check: $(TOOLS) site
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run -Werror $(wildcard csrc/*.cpp csrc/*.h csrc/*.cu)

wheel: $(BIN)/python
	rm -f dist/*.whl
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	PYTHON=$(abspath $(BIN))/python deploy/check_wheel.sh dist/*.whl

site: $(TOOLS)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

bench: $(TOOLS)
	$(BIN)/python benchmarks/bench_ops.py
	$(BIN)/python -m benchmarks.bench_detector
	$(BIN)/python -m benchmarks.bench_stream
	$(BIN)/python -m benchmarks.live
	$(BIN)/python -m benchmarks.streams
	$(BIN)/python -m benchmarks.cold_start
	@$(MAKE) --no-print-directory bench-peers
ifneq ($(FILM),)
	$(BIN)/python benchmarks/memory.py "$(FILM)"
	$(BIN)/python -m benchmarks.archive film "$(FILM)"
endif
	$(BIN)/python benchmarks/readme_table.py

# The part of it that compares. Where the peers' packages cannot be had, a line says so, and older figures stay.
bench-peers: $(TOOLS)
	@$(MAKE) --no-print-directory $(PEERS)/.installed || rm -rf $(PEERS)
	$(BIN)/python -m benchmarks.bench_peers --peers-python $(PEERS)/bin/python
	$(PIP) --no-deps "trackeval>=1.3"
	$(BIN)/python -m benchmarks.tracking --peers $(PEERS)/bin/python

clean:
	rm -rf build dist out site *.egg-info acfd_stream/*.so acfd_stream/v1/*_pb2* .pytest_cache .mypy_cache .ruff_cache
	rm -f $(PACKAGE) $(TESTING) $(TOOLS)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "acfd_stream needs Python 3.11 or newer; say which with make PYTHON=…" >&2; exit 1; }
	@command -v c++ g++ clang++ > /dev/null \
	  || { echo "acfd_stream needs a C++17 compiler (Debian, Ubuntu: apt-get install g++)" >&2; exit 1; }
	@$(PYTHON) -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' \
	  || { echo "the headers of Python are missing (Debian, Ubuntu: apt-get install python3-dev)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { rm -rf $(VENV); echo "python3 -m venv failed (Debian, Ubuntu: apt-get install python3-venv)" >&2; exit 1; }

$(PACKAGE): $(BUILD_INPUTS) | $(BIN)/python
	$(PIP) --editable ".[opencv]"
	@touch $@

# The package is there already, so its name with extras adds only what these ask for. torch goes first: the extras
# find it then, and do not fetch a build for GPUs. TrackEval is not among them: it asks for the OpenCV with windows,
# which would lie on top of the one without, and which it needs for pictures only.
$(TESTING): $(PACKAGE)
	$(PIP) "$(TORCH)+cpu" 2> /dev/null || $(PIP) "$(TORCH)"
	$(PIP) "acfd-stream[board,otel,plot,test,train]"
	$(PIP) --no-deps "trackeval>=1.3"
	@touch $@

$(TOOLS): $(PACKAGE)
	$(PIP) "acfd-stream[dev,test]"
	@touch $@

# An environment of their own. Of ultralytics and torchvision nothing comes along but themselves: the one asks for the
# OpenCV with windows and a cloud client, the other for a torch for GPUs; its operators are not needed.
$(PEERS)/.installed: PIP = $(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-input
$(PEERS)/.installed: benchmarks/peers/requirements.txt
	$(PYTHON) -m venv $(PEERS)
	$(PIP) "$(TORCH)+cpu" 2> /dev/null || $(PIP) "$(TORCH)"
	$(PIP) --no-deps ultralytics==8.4.190 torchvision==0.28.0
	$(PIP) --requirement $<
	@touch $@
