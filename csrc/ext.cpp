// acfd_stream._C: checks every argument, releases the GIL and calls the CPU ops.
//
// Error messages are identical to those of acfd_stream/ops/_checks.py.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "ffmpeg_log.h"
#include "ffmpeg_memory.h"
#include "mean_pool.h"
#include "ops_cpu.h"

namespace py = pybind11;

namespace acfd {
namespace {

using Pair = std::pair<std::int64_t, std::int64_t>;  // (height, width)

constexpr std::int64_t kPlaneSideMax = 65535;
constexpr std::int64_t kNetworkSideMax = 16384;
constexpr std::int64_t kStrideMax = 4096;
constexpr int kPoolSideMax = 16;  // 2^8 samples of 16 bits add up to 2^24
constexpr std::int64_t kAnyLength = -1;

[[noreturn]] void refuse(const std::string& name, const std::string& allowed, const std::string& got) {
  const py::object error = py::module_::import("acfd_stream.errors").attr("ShapeError");
  PyErr_SetString(error.ptr(), (name + " must be " + allowed + ", got " + got).c_str());
  throw py::error_already_set();
}

// The value as Python prints it.
template <typename T>
std::string text(const T& value) {
  if constexpr (std::is_base_of_v<py::detail::pyobject_tag, T>) {
    return py::str(value);
  } else {
    return py::str(py::object(py::cast(value)));
  }
}

// "float32 [3, 4]", or the type's name if the value is not an array.
std::string describe(const py::handle& value) {
  if (!py::isinstance<py::array>(value)) return text(py::object(py::type::of(value).attr("__name__")));
  const auto array = py::reinterpret_borrow<py::array>(value);
  std::string shape;
  for (py::ssize_t axis = 0; axis < array.ndim(); ++axis) {
    shape += (axis == 0 ? "" : ", ") + std::to_string(array.shape(axis));
  }
  return text(array.dtype()) + " [" + shape + "]";
}

// The value as an array of T. `letters` name dimensions of any length in the message.
template <typename T>
py::array require_array(const std::string& name, const py::handle& value, const std::vector<std::int64_t>& shape,
                        const std::string& letters = "", const std::string& note = "") {
  bool fits = py::isinstance<py::array_t<T>>(value);
  std::string allowed;
  std::size_t letter = 0;
  const auto array = fits ? py::reinterpret_borrow<py::array>(value) : py::array();
  fits = fits && array.ndim() == static_cast<py::ssize_t>(shape.size());
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    const bool is_any = shape[axis] == kAnyLength;
    fits = fits && (is_any || array.shape(axis) == shape[axis]);
    allowed += axis == 0 ? "" : ", ";
    allowed += is_any ? std::string(1, letters[letter++]) : std::to_string(shape[axis]);
  }
  if (!fits) refuse(name, text(py::dtype::of<T>()) + " [" + allowed + "]" + note, describe(value));
  return array;
}

template <typename T>
py::array_t<T> contiguous(const py::array& array) {
  auto out = py::array_t<T, py::array::c_style | py::array::forcecast>::ensure(array);
  if (!out) throw py::error_already_set();
  return out;
}

// Passes a vector's memory to NumPy without a copy.
template <typename T>
py::array_t<T> to_numpy(std::vector<T>&& values, std::vector<py::ssize_t> shape) {
  auto* owner = new std::vector<T>(std::move(values));
  const py::capsule release(owner, [](void* memory) { delete static_cast<std::vector<T>*>(memory); });
  return py::array_t<T>(std::move(shape), owner->data(), release);
}

// --- letterbox ---

PixelFormat format_of(const std::string& name) {
  if (name == "yuv420p") return PixelFormat::kYuv420p;
  if (name == "nv12") return PixelFormat::kNv12;
  if (name == "rgb24") return PixelFormat::kRgb24;
  refuse("pixel_format", "yuv420p, nv12 or rgb24", name);
}

ColorTransform color_of(const std::string& matrix, bool is_full_range, int bit_depth) {
  if (matrix == "bt601") return color_transform(2990, 1140, is_full_range, bit_depth);
  if (matrix == "bt709") return color_transform(2126, 722, is_full_range, bit_depth);
  if (matrix == "bt2020") return color_transform(2627, 593, is_full_range, bit_depth);
  refuse("color_matrix", "bt601, bt709 or bt2020", matrix);
}

// A plane with readable rows; a plane with gaps between samples, or not aligned, is copied.
template <typename T>
py::array readable_rows(const py::array& plane) {
  bool is_readable = reinterpret_cast<std::uintptr_t>(plane.data()) % sizeof(T) == 0 &&
                     plane.strides(0) % static_cast<py::ssize_t>(sizeof(T)) == 0;
  py::ssize_t step = sizeof(T);
  for (py::ssize_t axis = plane.ndim() - 1; axis > 0; --axis) {
    is_readable = is_readable && (plane.shape(axis) == 1 || plane.strides(axis) == step);
    step *= plane.shape(axis);
  }
  return is_readable ? plane : contiguous<T>(plane);
}

template <typename T>
std::vector<py::array> planes_of(const py::tuple& planes, PixelFormat format) {
  std::vector<std::int64_t> shape{kAnyLength, kAnyLength};
  if (format == PixelFormat::kRgb24) shape.push_back(3);
  std::vector<py::array> out{require_array<T>("planes[0]", planes[0], shape, "HW")};
  const std::int64_t height = out[0].shape(0), width = out[0].shape(1);
  if (height < 1 || height > kPlaneSideMax || width < 1 || width > kPlaneSideMax) {
    refuse("planes[0]", "1 … " + std::to_string(kPlaneSideMax) + " samples high and wide", text(Pair(height, width)));
  }
  shape = {(height + 1) / 2, (width + 1) / 2};
  if (format == PixelFormat::kNv12) shape.push_back(2);
  for (std::size_t index = 1; index < planes.size(); ++index) {
    out.push_back(require_array<T>("planes[" + std::to_string(index) + "]", planes[index], shape));
  }
  for (py::array& plane : out) plane = readable_rows<T>(plane);
  return out;
}

void check_sizes(const Pair& content_size, const Pair& network_size) {
  const auto [height, width] = network_size;
  if (height < 1 || height > kNetworkSideMax || width < 1 || width > kNetworkSideMax) {
    refuse("network_size", "in (1, 1) … " + text(Pair(kNetworkSideMax, kNetworkSideMax)), text(network_size));
  }
  if (content_size.first < 1 || content_size.first > height || content_size.second < 1 || content_size.second > width) {
    refuse("content_size", "in (1, 1) … " + text(network_size), text(content_size));
  }
}

void check_layout(const py::tuple& planes, PixelFormat format, const std::string& format_name, int bit_depth,
                  int rotation) {
  if (bit_depth < 8 || bit_depth > 16) refuse("bit_depth", "in 8 … 16", text(bit_depth));
  if (rotation != 0 && rotation != 90 && rotation != 180 && rotation != 270) {
    refuse("rotation", "0, 90, 180 or 270", text(rotation));
  }
  const std::size_t count = format == PixelFormat::kYuv420p ? 3 : format == PixelFormat::kNv12 ? 2 : 1;
  if (planes.size() != count) {
    refuse("planes", std::to_string(count) + " arrays for " + format_name, text(planes.size()));
  }
}

void check_instruction_set(const std::string& name) {
  const std::vector<std::string> names = letterbox_instruction_sets();
  if (std::find(names.begin(), names.end(), name) == names.end()) {
    refuse("instruction_set", "one of " + text(py::cast(names)), name);
  }
}

Size size_of(const Pair& size) { return {static_cast<int>(size.first), static_cast<int>(size.second)}; }

py::array_t<std::uint8_t> letterbox(const py::tuple& planes, const std::string& pixel_format, int bit_depth,
                                    const std::string& color_matrix, bool is_full_range, const py::object& tone_table,
                                    int rotation, const Pair& content_size, const Pair& network_size,
                                    const std::array<int, 3>& pad, const std::string& instruction_set) {
  LetterboxJob job;
  job.format = format_of(pixel_format);
  job.color = color_of(color_matrix, is_full_range, 8);
  check_layout(planes, job.format, pixel_format, bit_depth, rotation);
  const std::vector<py::array> arrays =
      bit_depth == 8 ? planes_of<std::uint8_t>(planes, job.format) : planes_of<std::uint16_t>(planes, job.format);
  check_sizes(content_size, network_size);
  for (const int level : pad) {
    if (level < 0 || level > 255) {
      refuse("pad", "three levels in 0 … 255", text(py::tuple(py::cast(pad))));
    }
  }
  // RGB has no separate range here: its gain is that of full-range luma.
  job.color = color_of(color_matrix, is_full_range || job.format == PixelFormat::kRgb24, bit_depth);
  const auto tone =
      tone_table.is_none()
          ? py::array_t<float>()
          : contiguous<float>(require_array<float>("tone_table", tone_table, {sizeof(ToneTable) / sizeof(float)}));
  job.tone = tone_table.is_none() ? nullptr : reinterpret_cast<const ToneTable*>(tone.data());
  job.bit_depth = bit_depth;
  job.rotation = rotation;
  job.stored_size = {static_cast<int>(arrays[0].shape(0)), static_cast<int>(arrays[0].shape(1))};
  job.content_size = size_of(content_size);
  job.network_size = size_of(network_size);
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    job.planes[i] = {static_cast<const unsigned char*>(arrays[i].data()), arrays[i].strides(0)};
  }
  for (std::size_t i = 0; i < 3; ++i) job.pad[i] = static_cast<unsigned char>(pad[i]);
  job.instruction_set = instruction_set;
  if (!instruction_set.empty()) check_instruction_set(instruction_set);

  py::array_t<std::uint8_t> image({network_size.first, network_size.second, std::int64_t{3}});
  unsigned char* const pixels = image.mutable_data();
  {
    const py::gil_scoped_release release;
    letterbox_cpu(job, pixels);
  }
  return image;
}

// --- mean_pool ---

py::tuple mean_pool(const py::tuple& planes, const std::string& pixel_format, int bit_depth, int block) {
  const PixelFormat format = format_of(pixel_format);
  check_layout(planes, format, pixel_format, bit_depth, 0);
  const std::vector<py::array> arrays =
      bit_depth == 8 ? planes_of<std::uint8_t>(planes, format) : planes_of<std::uint16_t>(planes, format);
  if (block < 1 || block > kPoolSideMax) refuse("block", "in 1 … " + std::to_string(kPoolSideMax), text(block));
  py::list pooled;
  for (const py::array& array : arrays) {
    PoolJob job;
    job.plane = {static_cast<const unsigned char*>(array.data()), array.strides(0)};
    job.size = {static_cast<int>(array.shape(0)), static_cast<int>(array.shape(1))};
    job.channels = array.ndim() == 3 ? static_cast<int>(array.shape(2)) : 1;
    job.bit_depth = bit_depth;
    job.block = block;
    std::vector<short*> outs;
    for (int channel = 0; channel < job.channels; ++channel) {
      py::array_t<std::int16_t> out({(job.size.height + block - 1) / block, (job.size.width + block - 1) / block});
      outs.push_back(out.mutable_data());
      pooled.append(std::move(out));
    }
    const py::gil_scoped_release release;
    mean_pool_cpu(job, outs.data());
  }
  return py::tuple(pooled);
}

// --- cell_moments ---

py::array_t<std::int64_t> cell_moments(const py::object& before, const py::object& after) {
  const py::array first = require_array<std::int16_t>("before", before, {kAnyLength, kAnyLength}, "HW");
  const std::int64_t height = first.shape(0), width = first.shape(1);
  if (height < 1 || height > kPlaneSideMax || width < 1 || width > kPlaneSideMax) {
    refuse("before", "1 … " + std::to_string(kPlaneSideMax) + " samples high and wide", text(Pair(height, width)));
  }
  const auto a = contiguous<std::int16_t>(first);
  const auto b = contiguous<std::int16_t>(require_array<std::int16_t>("after", after, {height, width}));
  const std::int64_t side = kCellSide;
  py::array_t<std::int64_t> sums({std::int64_t{5}, (height + side - 1) / side, (width + side - 1) / side});
  std::int64_t* const out = sums.mutable_data();
  const std::int16_t *const a_values = a.data(), *const b_values = b.data();
  {
    const py::gil_scoped_release release;
    cell_moments_cpu(a_values, b_values, size_of(Pair(height, width)), out);
  }
  return sums;
}

// --- decode_anchors ---

void check_ratio(const std::string& name, double value) {
  if (!(value >= 0.0 && value <= 1.0)) refuse(name, "in [0, 1]", text(value));
}

std::vector<AnchorLevel> levels_of(const Pair& network_size, const std::vector<std::int64_t>& strides, double scale) {
  std::vector<AnchorLevel> levels;
  for (const std::int64_t stride : strides) {
    if (stride < 1 || stride > kStrideMax) {
      levels.clear();
      break;
    }
    const Pair places((network_size.first + stride - 1) / stride, (network_size.second + stride - 1) / stride);
    levels.push_back({static_cast<int>(stride), static_cast<float>(static_cast<double>(stride) * scale),
                      static_cast<int>(places.first), static_cast<int>(places.second)});
  }
  if (levels.empty()) {
    refuse("strides", "one or more numbers in 1 … " + std::to_string(kStrideMax), text(strides));
  }
  return levels;
}

py::tuple decode_anchors(const py::object& scores, const py::object& deltas, const Pair& network_size,
                         const Pair& content_size, const std::vector<std::int64_t>& strides, double scale,
                         const std::pair<double, double>& variances, double score_threshold, std::int64_t candidates) {
  check_sizes(content_size, network_size);
  check_ratio("score_threshold", score_threshold);
  DecodeJob job;
  job.levels = levels_of(network_size, strides, scale);
  std::int64_t count = 0;
  for (const AnchorLevel& level : job.levels) count += std::int64_t{level.height} * level.width;
  const std::string note = " for network_size " + text(network_size);
  const auto score_array = contiguous<float>(require_array<float>("scores", scores, {count}, "", note));
  const auto delta_array = contiguous<float>(require_array<float>("deltas", deltas, {count, 4}, "", note));
  if (candidates < 1) refuse("candidates", ">= 1", text(candidates));
  job.scores = score_array.data();
  job.deltas = delta_array.data();
  job.content_size = size_of(content_size);
  job.centre_variance = static_cast<float>(variances.first);
  job.size_variance = static_cast<float>(variances.second);
  job.score_threshold = static_cast<float>(score_threshold);
  job.candidates = candidates;

  DecodedBoxes out;
  {
    const py::gil_scoped_release release;
    out = decode_anchors_cpu(job);
  }
  const auto kept = static_cast<py::ssize_t>(out.indices.size());
  return py::make_tuple(to_numpy(std::move(out.boxes), {kept, 4}), to_numpy(std::move(out.scores), {kept}),
                        to_numpy(std::move(out.indices), {kept}), out.is_truncated);
}

// --- nms ---

py::array_t<std::int64_t> nms(const py::object& boxes_xyxy, const py::object& scores, double iou_threshold) {
  const auto boxes = contiguous<float>(require_array<float>("boxes_xyxy", boxes_xyxy, {kAnyLength, 4}, "N"));
  const std::int64_t count = boxes.shape(0);
  const auto score_array = contiguous<float>(require_array<float>("scores", scores, {count}));
  check_ratio("iou_threshold", iou_threshold);
  const float* const box_values = boxes.data();
  const float* const score_values = score_array.data();
  std::vector<std::int64_t> kept;
  {
    const py::gil_scoped_release release;
    kept = nms_cpu(box_values, score_values, count, static_cast<float>(iou_threshold));
  }
  const auto kept_count = static_cast<py::ssize_t>(kept.size());
  return to_numpy(std::move(kept), {kept_count});
}

}  // namespace
}  // namespace acfd

PYBIND11_MODULE(_C, module) {
  module.doc() = "The ops of acfd_stream, compiled; see acfd_stream.ops.";
  module.def("letterbox", &acfd::letterbox, py::arg("planes"), py::arg("pixel_format"), py::arg("bit_depth"),
             py::arg("color_matrix"), py::arg("is_full_range"), py::arg("tone_table"), py::arg("rotation"),
             py::arg("content_size"), py::arg("network_size"), py::arg("pad"), py::arg("instruction_set") = "");
  module.def("letterbox_instruction_sets", &acfd::letterbox_instruction_sets);
  module.def("mean_pool", &acfd::mean_pool, py::arg("planes"), py::arg("pixel_format"), py::arg("bit_depth"),
             py::arg("block"));
  module.def("cell_moments", &acfd::cell_moments, py::arg("before"), py::arg("after"));
  module.def("decode_anchors", &acfd::decode_anchors, py::arg("scores"), py::arg("deltas"), py::arg("network_size"),
             py::arg("content_size"), py::arg("strides"), py::arg("scale"), py::arg("variances"),
             py::arg("score_threshold"), py::arg("candidates"));
  module.def("nms", &acfd::nms, py::arg("boxes_xyxy"), py::arg("scores"), py::arg("iou_threshold"));
  module.def("ffmpeg_log_callback", &acfd::ffmpeg_log_callback);
  module.def("missed_rtp_packets", &acfd::missed_rtp_packets);
  module.def("share_ffmpeg_memory", &acfd::share_ffmpeg_memory, py::arg("av_malloc"), py::arg("begin"),
             py::arg("bytes"), py::arg("least_bytes"));
  module.def("shared_ffmpeg_bytes", &acfd::shared_ffmpeg_bytes);
}
