"""What pyproject.toml cannot say: the C++ extension, the protobuf modules and where ``model/`` is installed."""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path
from typing import ClassVar

from pybind11.setup_helpers import Pybind11Extension, build_ext
from setuptools import Command, find_packages, setup
from setuptools.command.build import build
from setuptools.errors import ExecError

PROTOS = Path("protos")
CSRC = Path("csrc")


class build_protos(Command):  # noqa: N801 (the name is the command's)
    """Write the Python modules of ``protos/**/*.proto`` beside the package they belong to.

    A wheel gets them in its build folder, an editable install in the source tree (git ignores them there);
    an sdist carries the .proto files and builds them when it is installed.
    """

    description = "generate the protobuf and gRPC modules"
    user_options: ClassVar[list[tuple[str, str | None, str]]] = []

    def initialize_options(self) -> None:
        self.build_lib: str | None = None
        self.editable_mode = False

    def finalize_options(self) -> None:
        self.set_undefined_options("build_py", ("build_lib", "build_lib"))

    def run(self) -> None:
        from grpc_tools import protoc

        target = Path(self._target())
        target.mkdir(parents=True, exist_ok=True)
        include = files("grpc_tools") / "_proto"
        outputs = [f"--{kind}_out={target}" for kind in ("python", "pyi", "grpc_python")]
        arguments = ["protoc", f"-I{PROTOS}", f"-I{include}", *outputs, *self.get_source_files()]
        if protoc.main(arguments) != 0:
            raise ExecError(f"protoc failed: {' '.join(arguments)}")

    def get_source_files(self) -> list[str]:
        return [str(path) for path in sorted(PROTOS.rglob("*.proto"))]

    def get_outputs(self) -> list[str]:
        stems = [Path(name).relative_to(PROTOS).with_suffix("") for name in self.get_source_files()]
        return [f"{self._target()}/{stem}{end}" for stem in stems for end in ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py")]

    def get_output_mapping(self) -> dict[str, str]:
        return {}

    def _target(self) -> str:
        return "." if self.editable_mode or self.build_lib is None else self.build_lib


class BuildWithProtos(build):
    """The ordinary build, then the protobuf modules."""

    sub_commands: ClassVar = [*build.sub_commands, ("build_protos", None)]


def extension() -> Pybind11Extension:
    """``acfd_stream._C``: every csrc/*.cpp, rebuilt when a header changes.

    Contraction of a*b+c into one rounding is off: results equal the NumPy law to the last bit.
    """
    flags = [] if sys.platform == "win32" else ["-O3", "-ffp-contract=off", "-Wall", "-Wextra"]
    return Pybind11Extension(
        "acfd_stream._C",
        sources=sorted(str(path) for path in CSRC.glob("*.cpp")),
        depends=sorted(str(path) for path in CSRC.glob("*.h")),
        include_dirs=[str(CSRC)],
        cxx_std=17,
        extra_compile_args=flags,
    )


setup(
    packages=[
        *find_packages(include=["acfd_stream", "acfd_stream.*"]),
        "acfd_stream.csrc",
        "acfd_stream.model",
        *(f"acfd_stream.model.{name}" for name in find_packages("model")),
    ],
    package_dir={"acfd_stream.model": "model", "acfd_stream.csrc": "csrc"},
    package_data={
        "acfd_stream": ["py.typed"],
        "acfd_stream.csrc": ["*.cu", "*.h"],  # compiled at run time, where there is a GPU
        "acfd_stream.outputs.report": ["page/*"],
        "acfd_stream.service.dashboard": ["page/*"],
        "acfd_stream.model": ["configs/*.toml", "weights/*.onnx", "weights/*.md"],
    },
    include_package_data=False,  # what a wheel holds is what stands above
    ext_modules=[extension()],
    cmdclass={"build": BuildWithProtos, "build_ext": build_ext, "build_protos": build_protos},
    zip_safe=False,
)
