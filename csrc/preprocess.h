// Sampling of planes and conversion from YCbCr to RGB, in integers.
//
// A picture becomes network input in three exact steps, each rounded once:
//   1. down the columns: sum of taps, weights in 1/2^14, rounded to a 14-bit sample (8-bit 255 -> 16320);
//   2. along the rows: the same again on 14-bit samples;
//   3. colour: a 3x3 matrix with coefficients in 1/2^19 of a level, rounded to 8 bits and clipped.
// Where the result is not yet SDR of BT.709, lookups in float32 follow the matrix: see tone_map.h.
// The reference implementation is acfd_stream/ops/reference.py.
#pragma once

#include "host_device.h"

namespace acfd {

constexpr int kWeightBits = 14;
constexpr int kSampleBits = 14;
constexpr int kColorBits = 19;  // R = (coefficients . samples + 2^18) >> 19

// One axis of one plane. `length` counts samples of the first plane; a plane that is subsampled by two
// has ceil(length / 2) samples, and sample k covers [2k, 2k + 2) of that length.
struct Axis {
  int length;       // >= 1
  int subsampling;  // 1 or 2
  int outputs;      // >= 1, content pixels

  ACFD_HOST_DEVICE int samples() const { return (length + subsampling - 1) / subsampling; }
};

ACFD_HOST_DEVICE long long floor_div(long long a, long long b) {  // b > 0
  return a >= 0 ? a / b : -((b - 1 - a) / b);
}

// Triangle filter of half-width max(scale, 1) around the centre of an output pixel.
//
// With q = outputs * subsampling, sample k is at (2k + 1) q and output i at (2i + 1) length, both in
// units of 1 / (2 q) sample, so the triangle's heights are integers.
struct Triangle {
  long long centre;      // (2i + 1) * length
  long long pitch;       // q; samples are 2q apart
  long long half_width;  // 2 * max(length, q)
  int first, count;      // existing samples under the triangle

  ACFD_HOST_DEVICE Triangle(const Axis& axis, int output)
      : centre((2LL * output + 1) * axis.length),
        pitch(static_cast<long long>(axis.outputs) * axis.subsampling),
        half_width(2 * larger<long long>(axis.length, pitch)) {
    const long long begin = floor_div(centre - half_width - pitch, 2 * pitch) + 1;
    const long long end = -floor_div(pitch - centre - half_width, 2 * pitch);
    first = static_cast<int>(larger(begin, 0LL));
    count = static_cast<int>(smaller<long long>(end, axis.samples())) - first;
  }

  ACFD_HOST_DEVICE long long height(int sample) const {
    const long long offset = (2LL * sample + 1) * pitch - centre;
    return half_width - (offset < 0 ? -offset : offset);
  }

  // Weights of the `count` samples from `first`, in 1 / 2^kWeightBits, `step` apart. The running sum is rounded,
  // not each weight, so that the weights add up to exactly one.
  ACFD_HOST_DEVICE void weights(short* out, int step = 1) const {
    long long total = 0;
    for (int k = 0; k < count; ++k) total += height(first + k);
    long long sum = 0;
    int before = 0;
    for (int k = 0; k < count; ++k) {
      sum += height(first + k);
      const int after = static_cast<int>(((sum << (kWeightBits + 1)) + total) / (2 * total));
      out[k * step] = static_cast<short>(after - before);
      before = after;
    }
  }
};

// Step 1. `sum` is over samples of `bit_depth` bits; stray bits above that depth give white.
ACFD_HOST_DEVICE short round_column(int sum, int bit_depth) {
  return static_cast<short>(smaller((sum + (1 << (bit_depth - 1))) >> bit_depth, 1 << kSampleBits));
}

// Step 2.
ACFD_HOST_DEVICE int round_row(int sum) { return (sum + (1 << (kWeightBits - 1))) >> kWeightBits; }

// Step 3. All for 14-bit samples; red = (luma * (y - black) + red_v * (v - grey)) and so on.
struct ColorTransform {
  int luma, red_v, green_u, green_v, blue_u;  // in 1 / 2^kColorBits level; green ones are subtracted
  int black, grey;                            // 14-bit samples
};

ACFD_HOST_DEVICE int to_level(int sum) {
  const int level = (sum + (1 << (kColorBits - 1))) >> kColorBits;
  return level < 0 ? 0 : (level > 255 ? 255 : level);
}

struct Rgb {
  unsigned char red, green, blue;
};

// Red, green and blue in 1 / 2^kColorBits level, not clipped.
struct RgbSums {
  int red, green, blue;
};

ACFD_HOST_DEVICE RgbSums to_sums(const ColorTransform& color, int y, int u, int v) {
  const int gray = color.luma * (y - color.black);
  u -= color.grey;
  v -= color.grey;
  return {gray + color.red_v * v, gray - color.green_u * u - color.green_v * v, gray + color.blue_u * u};
}

ACFD_HOST_DEVICE Rgb to_rgb(const RgbSums& sums) {
  return {static_cast<unsigned char>(to_level(sums.red)), static_cast<unsigned char>(to_level(sums.green)),
          static_cast<unsigned char>(to_level(sums.blue))};
}

// numerator / denominator rounded to the nearest integer, halves up; both positive.
ACFD_HOST_DEVICE int nearest(long long numerator, long long denominator) {
  return static_cast<int>((2 * numerator + denominator) / (2 * denominator));
}

// Coefficients from the standard's Kr and Kb, both in 1/10000 (ITU-R BT.601, BT.709 and BT.2020, section "derivation
// of luminance and colour-difference signals"; limited range: 219 and 224 of 256 steps).
ACFD_HOST_DEVICE ColorTransform color_transform(int kr, int kb, bool is_full_range, int bit_depth) {
  constexpr long long kOne = 10000;
  constexpr long long kWhite = 255LL << kColorBits;
  constexpr int kLevelBits = kSampleBits - 8;  // a level of 8 bits in 14-bit samples
  // Full range spans 2^b - 1 steps of 2^14 / 2^b.
  const long long numerator = is_full_range ? (kWhite >> kSampleBits) << bit_depth : kWhite >> kLevelBits;
  const long long luma_steps = is_full_range ? (1LL << bit_depth) - 1 : 219;
  const long long chroma_steps = is_full_range ? luma_steps : 224;
  const long long kg = kOne - kr - kb;
  ColorTransform color;
  color.luma = nearest(numerator, luma_steps);
  color.red_v = nearest(numerator * 2 * (kOne - kr), chroma_steps * kOne);
  color.green_u = nearest(numerator * 2 * kb * (kOne - kb), chroma_steps * kg * kOne);
  color.green_v = nearest(numerator * 2 * kr * (kOne - kr), chroma_steps * kg * kOne);
  color.blue_u = nearest(numerator * 2 * (kOne - kb), chroma_steps * kOne);
  color.black = is_full_range ? 0 : 16 << kLevelBits;
  color.grey = 128 << kLevelBits;
  return color;
}

}  // namespace acfd
