#include <algorithm>
#include <cstring>

#include "ops_cpu.h"

// One content row at a time: each channel is summed down its columns into a row of 14-bit samples, that row
// is summed along itself, and the three results become RGB where they belong in the image. The working set is
// a few rows, so it stays in the first caches whatever the picture's size.

namespace acfd {
namespace {

// Weights of every output of one axis; row i is weights[i * stride …], from sample first[i].
struct Taps {
  int stride = 0;
  std::vector<int> first;
  std::vector<short> weights;  // zero after the last tap

  // Rows are as long as the longest one needs, rounded up to `multiple`.
  Taps(const Axis& axis, int multiple) : first(axis.outputs) {
    int longest = 0;
    for (int i = 0; i < axis.outputs; ++i) longest = std::max(longest, Triangle(axis, i).count);
    stride = (longest + multiple - 1) / multiple * multiple;
    weights.assign(static_cast<std::size_t>(axis.outputs) * stride, 0);
    for (int i = 0; i < axis.outputs; ++i) {
      const Triangle triangle(axis, i);
      first[i] = triangle.first;
      triangle.weights(weights.data() + static_cast<std::size_t>(i) * stride);
    }
  }

  const short* row(int output) const { return weights.data() + static_cast<std::size_t>(output) * stride; }
};

// Columns summed at once: the sums stay in the first cache.
constexpr int kColumns = 512;

// out[i] = rounded sum over t of weights[t] * (row first + t)[i], two rows a time. `taps` is even; a row past
// the last stands for a zero weight and is not read.
template <typename Sample>
ACFD_ALWAYS_INLINE void sum_columns(const Plane& plane, int first, int last, const short* weights, int taps, int count,
                                    int bit_depth, short* out) {
  for (int begin = 0; begin < count; begin += kColumns) {
    const int columns = std::min(kColumns, count - begin);
    int sums[kColumns] = {};
    for (int t = 0; t < taps; t += 2) {
      const auto* upper =
          reinterpret_cast<const Sample*>(plane.data + std::min(first + t, last) * plane.row_bytes) + begin;
      const auto* lower =
          reinterpret_cast<const Sample*>(plane.data + std::min(first + t + 1, last) * plane.row_bytes) + begin;
      const int upper_weight = weights[t], lower_weight = weights[t + 1];
      for (int i = 0; i < columns; ++i) sums[i] += upper_weight * upper[i] + lower_weight * lower[i];
    }
    for (int i = 0; i < columns; ++i) out[begin + i] = round_column(sums[i], bit_depth);
  }
}

ACFD_MULTIVERSION void sum_columns_8(const Plane& plane, int first, int last, const short* weights, int taps, int count,
                                     int bit_depth, short* out) {
  sum_columns<std::uint8_t>(plane, first, last, weights, taps, count, bit_depth, out);
}

ACFD_MULTIVERSION void sum_columns_16(const Plane& plane, int first, int last, const short* weights, int taps,
                                      int count, int bit_depth, short* out) {
  sum_columns<std::uint16_t>(plane, first, last, weights, taps, count, bit_depth, out);
}

template <int kTaps>
ACFD_ALWAYS_INLINE void sum_rows_of(const short* samples, const int* first, const short* weights, int outputs,
                                    short* out) {
  for (int i = 0; i < outputs; ++i) {
    int sum = 0;
    for (int t = 0; t < kTaps; ++t) sum += samples[first[i] + t] * weights[i * kTaps + t];
    out[i] = static_cast<short>(round_row(sum));
  }
}

// out[i] = rounded dot product of the taps of output i. `stride` is a multiple of 4.
ACFD_MULTIVERSION void sum_rows(const short* samples, const int* first, const short* weights, int stride, int outputs,
                                short* out) {
  if (stride == 4) return sum_rows_of<4>(samples, first, weights, outputs, out);
  if (stride == 8) return sum_rows_of<8>(samples, first, weights, outputs, out);
  for (int i = 0; i < outputs; ++i) {
    int sum = 0;
    for (int t = 0; t < stride; ++t) sum += samples[first[i] + t] * weights[t];
    out[i] = static_cast<short>(round_row(sum));
    weights += stride;
  }
}

ACFD_MULTIVERSION void color_row(const ColorTransform& color, const short* y, const short* u, const short* v, int count,
                                 unsigned char* out) {
  const ColorTransform local = color;  // a copy cannot alias `out`
  for (int i = 0; i < count; ++i) {
    const Rgb rgb = to_rgb(local, y[i], u[i], v[i]);
    out[3 * i] = rgb.red;
    out[3 * i + 1] = rgb.green;
    out[3 * i + 2] = rgb.blue;
  }
}

ACFD_MULTIVERSION void level_row(int gain, const short* red, const short* green, const short* blue, int count,
                                 unsigned char* out) {
  for (int i = 0; i < count; ++i) {
    out[3 * i] = static_cast<unsigned char>(to_level(gain * red[i]));
    out[3 * i + 1] = static_cast<unsigned char>(to_level(gain * green[i]));
    out[3 * i + 2] = static_cast<unsigned char>(to_level(gain * blue[i]));
  }
}

// out[i] = sample i of channel `channel`.
ACFD_MULTIVERSION void pick_channel(const short* interleaved, int channels, int channel, int count, short* out) {
  interleaved += channel;
  if (channels == 2) {  // a step known to the compiler is what it can shuffle
    for (int i = 0; i < count; ++i) out[i] = interleaved[2 * i];
  } else {
    for (int i = 0; i < count; ++i) out[i] = interleaved[3 * i];
  }
}

// Samples one plane to the content's size before rotation, a row at a call.
class PlaneSampler {
 public:
  PlaneSampler(const Plane& plane, int channels, int subsampling, const LetterboxJob& job, Size turned)
      : plane_(plane),
        channels_(channels),
        bit_depth_(job.bit_depth),
        rows_(Axis{job.stored_size.height, subsampling, turned.height}.samples()),
        columns_(Axis{job.stored_size.width, subsampling, turned.width}.samples()),
        vertical_(Axis{job.stored_size.height, subsampling, turned.height}, 2),
        horizontal_(Axis{job.stored_size.width, subsampling, turned.width}, 4),
        interleaved_(static_cast<std::size_t>(columns_) * channels + horizontal_.stride),
        channel_(channels == 1 ? 0 : columns_ + horizontal_.stride) {}

  int channels() const { return channels_; }

  // Row `row` of the content; outs[c] gets the samples of channel c.
  void sample(int row, short* const* outs) {
    const auto sum = bit_depth_ == 8 ? sum_columns_8 : sum_columns_16;
    sum(plane_, vertical_.first[row], rows_ - 1, vertical_.row(row), vertical_.stride, columns_ * channels_, bit_depth_,
        interleaved_.data());
    for (int c = 0; c < channels_; ++c) {
      const short* samples = interleaved_.data();
      if (channels_ > 1) {
        pick_channel(interleaved_.data(), channels_, c, columns_, channel_.data());
        samples = channel_.data();
      }
      sum_rows(samples, horizontal_.first.data(), horizontal_.weights.data(), horizontal_.stride,
               static_cast<int>(horizontal_.first.size()), outs[c]);
    }
  }

 private:
  Plane plane_;
  int channels_, bit_depth_, rows_, columns_;
  Taps vertical_, horizontal_;
  std::vector<short> interleaved_, channel_;  // zeros behind the last sample, for the taps of zero weight
};

std::vector<PlaneSampler> samplers_of(const LetterboxJob& job, Size turned) {
  std::vector<PlaneSampler> samplers;
  switch (job.format) {
    case PixelFormat::kYuv420p:
      samplers.emplace_back(job.planes[0], 1, 1, job, turned);
      samplers.emplace_back(job.planes[1], 1, 2, job, turned);
      samplers.emplace_back(job.planes[2], 1, 2, job, turned);
      break;
    case PixelFormat::kNv12:
      samplers.emplace_back(job.planes[0], 1, 1, job, turned);
      samplers.emplace_back(job.planes[1], 2, 2, job, turned);
      break;
    case PixelFormat::kRgb24:
      samplers.emplace_back(job.planes[0], 3, 1, job, turned);
      break;
  }
  return samplers;
}

// Where pixel (row, column) of the content before rotation stands in the image, in bytes.
struct Placement {
  std::ptrdiff_t origin, row_step, column_step;
};

Placement placement_of(const LetterboxJob& job) {
  const std::ptrdiff_t down = static_cast<std::ptrdiff_t>(job.network_size.width) * 3;
  const std::ptrdiff_t last_row = (job.content_size.height - 1) * down;
  const std::ptrdiff_t last_column = (job.content_size.width - 1) * std::ptrdiff_t{3};
  switch (job.rotation) {
    case 90:
      return {last_column, -3, down};
    case 180:
      return {last_row + last_column, -down, -3};
    case 270:
      return {last_row, 3, -down};
    default:
      return {0, down, 3};
  }
}

void fill(unsigned char* begin, unsigned char* end, const unsigned char* pad) {
  for (; begin < end; begin += 3) std::memcpy(begin, pad, 3);
}

void fill_padding(const LetterboxJob& job, unsigned char* image) {
  const std::ptrdiff_t row_bytes = static_cast<std::ptrdiff_t>(job.network_size.width) * 3;
  const std::ptrdiff_t content_bytes = static_cast<std::ptrdiff_t>(job.content_size.width) * 3;
  for (int row = 0; row < job.network_size.height; ++row) {
    unsigned char* begin = image + row * row_bytes;
    fill(begin + (row < job.content_size.height ? content_bytes : 0), begin + row_bytes, job.pad);
  }
}

}  // namespace

void letterbox_cpu(const LetterboxJob& job, unsigned char* image) {
  fill_padding(job, image);
  const bool is_on_side = job.rotation == 90 || job.rotation == 270;
  const Size turned = is_on_side ? Size{job.content_size.width, job.content_size.height} : job.content_size;
  std::vector<PlaneSampler> samplers = samplers_of(job, turned);
  std::vector<short> samples(static_cast<std::size_t>(turned.width) * 3);
  std::vector<unsigned char> turned_row(static_cast<std::size_t>(turned.width) * 3);
  short* const channels[3] = {samples.data(), samples.data() + turned.width, samples.data() + 2 * turned.width};

  const Placement place = placement_of(job);
  for (int row = 0; row < turned.height; ++row) {
    short* const* outs = channels;
    for (PlaneSampler& sampler : samplers) {
      sampler.sample(row, outs);
      outs += sampler.channels();
    }
    unsigned char* target = image + place.origin + row * place.row_step;
    unsigned char* rgb = place.column_step == 3 ? target : turned_row.data();
    if (job.format == PixelFormat::kRgb24) {
      level_row(job.color.luma, channels[0], channels[1], channels[2], turned.width, rgb);
    } else {
      color_row(job.color, channels[0], channels[1], channels[2], turned.width, rgb);
    }
    if (rgb == target) continue;
    for (int column = 0; column < turned.width; ++column) {
      std::memcpy(target + column * place.column_step, rgb + 3 * column, 3);
    }
  }
}

}  // namespace acfd
