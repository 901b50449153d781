// The letterbox steps in plain loops, for instruction sets without special code.

#include <algorithm>

#include "letterbox_steps.h"

namespace acfd {
namespace {

// Columns summed at once: the sums stay in L1.
constexpr int kColumns = 512;

template <typename Sample>
void sum_columns_of(const ColumnSum& sum, short* out) {
  for (int begin = 0; begin < sum.count; begin += kColumns) {
    const int columns = std::min(kColumns, sum.count - begin);
    int sums[kColumns] = {};
    for (int t = 0; t < sum.taps; t += 2) {
      const auto* upper = reinterpret_cast<const Sample*>(sum.rows[t]) + begin;
      const auto* lower = reinterpret_cast<const Sample*>(sum.rows[t + 1]) + begin;
      const int upper_weight = sum.weights[t], lower_weight = sum.weights[t + 1];
      for (int i = 0; i < columns; ++i) sums[i] += upper_weight * upper[i] + lower_weight * lower[i];
    }
    for (int i = 0; i < columns; ++i) out[begin + i] = round_column(sums[i], sum.bit_depth);
  }
}

void sum_columns(const ColumnSum& sum, short* out) {
  if (sum.bit_depth == 8) return sum_columns_of<std::uint8_t>(sum, out);
  sum_columns_of<std::uint16_t>(sum, out);
}

// kStride 0: as many taps as there are.
template <int kStride>
void sum_rows_of(const short* samples, const Taps& taps, short* out) {
  const int stride = kStride > 0 ? kStride : taps.stride;
  const short* weights = taps.weights.data();
  for (int i = 0; i < taps.outputs; ++i, weights += stride) {
    int sum = 0;
    for (int t = 0; t < stride; ++t) sum += samples[taps.first[i] + t] * weights[t];
    out[i] = static_cast<short>(round_row(sum));
  }
}

void sum_rows(const short* samples, const Taps& taps, short* out) {
  if (taps.stride == 4) return sum_rows_of<4>(samples, taps, out);
  if (taps.stride == 8) return sum_rows_of<8>(samples, taps, out);
  sum_rows_of<0>(samples, taps, out);
}

void color_row(const ColorTransform& color, const short* const* yuv, int count, unsigned char* out) {
  const ColorTransform local = color;  // a copy cannot alias `out`
  const short *y = yuv[0], *u = yuv[1], *v = yuv[2];
  for (int i = 0; i < count; ++i) {
    const Rgb rgb = to_rgb(to_sums(local, y[i], u[i], v[i]));
    out[3 * i] = rgb.red;
    out[3 * i + 1] = rgb.green;
    out[3 * i + 2] = rgb.blue;
  }
}

void level_row(int gain, const short* const* rgb, int count, unsigned char* out) {
  for (int c = 0; c < 3; ++c) {
    const short* samples = rgb[c];
    for (int i = 0; i < count; ++i) out[3 * i + c] = static_cast<unsigned char>(to_level(gain * samples[i]));
  }
}

void pick_channel(const short* interleaved, int channels, int channel, int count, short* out) {
  pick(interleaved, channels, channel, count, out);
}

}  // namespace

const LetterboxSteps kPortableSteps{"portable", sum_columns, sum_rows, color_row, level_row, pick_channel};

}  // namespace acfd
