"""TensorRT's Python API as the runner uses it, in the shapes of versions 10 and 11, run by OpenVINO on the CPU.

Which classes and members a version has was read off the real bindings: 10.0.1, 10.16.1.11 and 11.4.0.106,
whose wheels load without a GPU over stand-ins for their libraries. What a version does not have is an AttributeError
here too. The engine is a pickle of the model and of what it was built with; its manners are TensorRT's: what fails
answers False or None and says why to the logger, shapes outside the profile are refused, and an engine of another
version is no engine.
"""

from __future__ import annotations

import ctypes
import enum
import pickle
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx

from tests.detect.stand_in_gpu import STREAMS

VERSIONS = ("10.0.1", "10.16.1.11", "11.4.0.106")
TYPES = {onnx.TensorProto.FLOAT16: "HALF", onnx.TensorProto.FLOAT: "FLOAT"}
NUMPY = {"HALF": np.float16, "FLOAT": np.float32}


class Severity(enum.IntEnum):
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)


class Base:
    """A class of bindings: instances must have had ``__init__`` of it called, as pybind11 wants."""

    def __init__(self) -> None:
        self.is_bound = True


class ILogger(Base):
    Severity = Severity


class IProgressMonitor(Base):
    pass


def make_tensorrt(version: str, *, has_gpu: bool = True) -> SimpleNamespace:
    """A module ``tensorrt`` of ``version``, one of ``VERSIONS``."""
    major = int(version.split(".")[0])
    trt = SimpleNamespace(__version__=version, ILogger=ILogger, has_gpu=has_gpu, builds=[], refuses=None)
    trt.DataType = enum.Enum("DataType", ["FLOAT", "HALF", "INT8", "INT32", "BOOL"])
    trt.float16, trt.float32 = trt.DataType.HALF, trt.DataType.FLOAT
    trt.TensorIOMode = enum.IntEnum("TensorIOMode", ["NONE", "INPUT", "OUTPUT"], start=0)
    trt.MemoryPoolType = enum.IntEnum("MemoryPoolType", ["WORKSPACE", "DLA_MANAGED_SRAM"], start=0)
    flags = ["EXPLICIT_BATCH", "STRONGLY_TYPED"] if major == 10 else ["STRONGLY_TYPED"]
    trt.NetworkDefinitionCreationFlag = enum.IntEnum("Flag", flags, start=0)
    trt.BuilderFlag = enum.IntEnum("BuilderFlag", ["FP16", "INT8", "TF32"] if major < 11 else ["TF32"], start=0)
    strategies = ["STATIC", "ON_PROFILE_CHANGE", "USER_MANAGED"]
    trt.ExecutionContextAllocationStrategy = enum.IntEnum("Strategy", strategies, start=0)
    trt.IProgressMonitor = IProgressMonitor
    trt.Builder = lambda logger: Builder(trt, logger)
    trt.Runtime = lambda logger: Runtime(trt, logger)
    trt.OnnxParser = OnnxParser
    return trt


class Builder:
    def __init__(self, trt: Any, logger: Any) -> None:
        if not trt.has_gpu:
            logger.log(Severity.ERROR, "CUDA initialization failure with error: 35")
            raise TypeError("pybind11::init(): factory function returned nullptr")
        assert logger.is_bound
        self.trt, self.logger = trt, logger

    def create_network(self, flags: int = 0) -> SimpleNamespace:
        names = [flag.name for flag in self.trt.NetworkDefinitionCreationFlag if flags >> flag & 1]
        assert names == ["STRONGLY_TYPED"], "types that are not kept"
        return SimpleNamespace(model=None, trt=self.trt)

    def create_builder_config(self) -> Any:
        return BuilderConfig(self.trt)

    def create_optimization_profile(self) -> Any:
        return Profile()

    def build_serialized_network(self, network: Any, config: Any) -> bytes | None:
        if self.trt.refuses is not None:
            self.logger.log(Severity.ERROR, f"{self.trt.refuses}\nand much more")
            return None
        self.trt.builds.append(config)
        if config.monitor is not None:
            config.monitor.phase_start("Building", None, 10)
            config.monitor.phase_start("Tactics", "Building", 3)
            assert all(config.monitor.step_complete("Building", step) for step in range(10))
            config.monitor.phase_finish("Building")
        dtype = TYPES[network.model.graph.input[0].type.tensor_type.elem_type]
        profiles = [profile.shapes for profile in config.profiles]
        assert all(shapes["images"][1][1:] == tuple(network.get_input(0).shape[1:]) for shapes in profiles)
        data = network.model.SerializeToString()
        return pickle.dumps({"version": self.trt.__version__, "model": data, "dtype": dtype, "profiles": profiles})


class Profile:
    def __init__(self) -> None:
        self.shapes: dict[str, Any] = {}

    def set_shape(self, name: str, min: Any, opt: Any, max: Any) -> None:
        assert all(low <= best <= high for low, best, high in zip(min, opt, max, strict=True))
        self.shapes[name] = (tuple(min), tuple(opt), tuple(max))


class BuilderConfig:
    def __init__(self, trt: Any) -> None:
        self.trt, self.profiles, self.flags, self.monitor = trt, [], set(), None
        self.timings: Any = None

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "progress_monitor":
            assert value.is_bound
            name = "monitor"
        object.__setattr__(self, name, value)

    def create_timing_cache(self, data: bytes) -> SimpleNamespace:
        cache = SimpleNamespace(given=data)
        cache.serialize = lambda: cache.given + b"+"
        return cache

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        self.timings = cache
        return True

    def set_memory_pool_limit(self, pool: Any, size: int) -> None:
        assert pool in self.trt.MemoryPoolType
        assert size > 0

    def add_optimization_profile(self, profile: Profile) -> int:
        self.profiles.append(profile)
        return len(self.profiles) - 1

    def set_flag(self, flag: Any) -> None:
        assert flag in self.trt.BuilderFlag
        self.flags.add(flag.name)


class OnnxParser:
    def __init__(self, network: Any, logger: Any) -> None:
        self.network, self.logger, self.reasons = network, logger, []

    @property
    def num_errors(self) -> int:
        return len(self.reasons)

    def get_error(self, place: int) -> SimpleNamespace:
        return SimpleNamespace(desc=lambda: self.reasons[place])

    def parse(self, data: bytes) -> bool:
        model = onnx.load_model_from_string(data)
        try:
            onnx.checker.check_model(model, full_check=True)  # types too: none is cast in silence
        except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
            self.reasons.append(str(error).splitlines()[0])
            return False
        trt, graph = self.network.trt, model.graph
        self.network.model = model
        inputs = [
            SimpleNamespace(name=entry.name, dtype=trt.DataType[TYPES[entry.type.tensor_type.elem_type]], shape=None)
            for entry in graph.input
        ]
        outputs = [SimpleNamespace(name=entry.name) for entry in graph.output]
        self.network.get_input, self.network.num_inputs = inputs.__getitem__, len(inputs)
        self.network.get_output, self.network.num_outputs = outputs.__getitem__, len(outputs)
        return True


class Runtime:
    def __init__(self, trt: Any, logger: Any) -> None:
        if not trt.has_gpu:
            logger.log(Severity.ERROR, "CUDA initialization failure with error: 35")
            raise TypeError("pybind11::init(): factory function returned nullptr")
        self.trt, self.logger = trt, logger

    def deserialize_cuda_engine(self, data: bytes) -> Any:
        try:
            plan = pickle.loads(data)
        except (pickle.UnpicklingError, EOFError, ValueError, AttributeError, ImportError, IndexError):
            plan = {"version": "none"}
        if plan["version"] != self.trt.__version__:
            self.logger.log(Severity.ERROR, "Serialization assertion magicTagRead == kMAGIC_TAG failed")
            return None
        return Engine(self.trt, plan, self.logger)


class Engine:
    def __init__(self, trt: Any, plan: dict[str, Any], logger: Any) -> None:
        import openvino

        self.trt, self.plan, self.logger = trt, plan, logger
        self.names = ["images", "scores", "deltas"]
        self.num_io_tensors = 3
        self.runs: dict[tuple[int, ...], Any] = {}
        self.model = openvino.Core().read_model(plan["model"])
        if trt.__version__.startswith("11"):
            self.device_memory_size_v2 = 1000
        else:
            self.device_memory_size = 1000
            if trt.__version__.startswith("10.16"):
                self.device_memory_size_v2 = 1000

    def compiled(self, shape: tuple[int, ...]) -> Any:
        """The network for one picture of ``shape``; contexts of a size share it."""
        import openvino

        if shape not in self.runs:
            model = self.model.clone()
            model.reshape({"images": [1, *shape]})
            settings = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": 1}
            self.runs[shape] = openvino.Core().compile_model(model, "CPU", settings)
        return self.runs[shape]

    def create_execution_context(self, strategy: Any) -> Any:
        assert strategy.name == "USER_MANAGED"
        return Context(self)

    def get_tensor_name(self, place: int) -> str:
        return self.names[place]

    def get_tensor_mode(self, name: str) -> Any:
        return self.trt.TensorIOMode.INPUT if name == "images" else self.trt.TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> Any:
        return self.trt.DataType[self.plan["dtype"]] if name == "images" else self.trt.DataType.FLOAT


class Context:
    def __init__(self, engine: Engine) -> None:
        self.engine, self.memory, self.addresses = engine, 0, {}
        self.shape: tuple[int, ...] = ()
        if not engine.trt.__version__.startswith("10.0"):
            self.set_device_memory = self._set_device_memory

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, "memory" if name == "device_memory" else name, value)

    def _set_device_memory(self, address: int, size: int) -> None:
        assert size >= 1000
        self.memory = address

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        low, _, high = self.engine.plan["profiles"][0][name]
        if not all(least <= given <= most for least, given, most in zip(low, shape, high, strict=True)):
            self.engine.logger.log(Severity.ERROR, f"the profile does not take {shape}")
            return False
        self.compiled = self.engine.compiled(shape[1:])
        self.shape = tuple(shape)
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.shape if name == "images" else (self.shape[0], *tuple(self.compiled.output(name).shape)[1:])

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return address != 0

    def execute_async_v3(self, stream: int) -> bool:
        assert self.memory
        assert set(self.addresses) == {"images", "scores", "deltas"}
        STREAMS[stream].queue(self._run)
        return True

    def _run(self) -> None:
        images = self._at("images", self.shape, NUMPY[self.engine.plan["dtype"]])
        for row, image in enumerate(images):
            given = self.compiled({"images": image[None]})
            for name in ("scores", "deltas"):
                self._at(name, self.get_tensor_shape(name), np.float32)[row] = given[name][0]

    def _at(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        count = int(np.prod(shape)) * np.dtype(dtype).itemsize
        return np.frombuffer((ctypes.c_char * count).from_address(self.addresses[name]), dtype).reshape(shape)
