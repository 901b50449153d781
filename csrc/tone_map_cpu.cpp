// Rows of tone-mapped pixels, in short loops over blocks that the compiler can vectorise.

#include <algorithm>

#include "ops_cpu.h"

namespace acfd {
namespace {

constexpr int kBlock = 64;  // pixels; what is between two loops stays in L1

using Channel = float[kBlock];

ACFD_ALWAYS_INLINE void weigh(const float* weights, const Channel* light, int* bins) {
  for (int i = 0; i < kBlock; ++i) {
    bins[i] = tone_bin(weights[0] * light[0][i] + weights[1] * light[1][i] + weights[2] * light[2][i]);
  }
}

}  // namespace

ACFD_MULTIVERSION void tone_map_block(const ToneTable& table, const int* sums, int count, unsigned char* rgb) {
  Channel light[3];
  int at[kBlock];
  for (int c = 0; c < 3; ++c) {
    for (int i = 0; i < kBlock; ++i) at[i] = tone_code(sums[c * kBlock + i]);
    for (int i = 0; i < kBlock; ++i) light[c][i] = table.light[at[i]];
  }
  weigh(table.luminance, light, at);
  for (int i = 0; i < kBlock; ++i) {
    const float gain = table.gain[at[i]];
    for (int c = 0; c < 3; ++c) light[c][i] *= gain;
  }
  for (int c = 0; c < 3; ++c) {
    weigh(table.gamut + 3 * c, light, at);
    for (int i = 0; i < count; ++i) rgb[3 * i + c] = static_cast<unsigned char>(table.level[at[i]]);
  }
}

void tone_map_row(const ToneTable& table, const ColorTransform& color, bool is_rgb, const short* const* channels,
                  int count, unsigned char* rgb) {
  int sums[3 * kBlock] = {};
  for (int begin = 0; begin < count; begin += kBlock) {
    const int pixels = std::min(kBlock, count - begin);
    const short *const a = channels[0] + begin, *const b = channels[1] + begin, *const c = channels[2] + begin;
    for (int i = 0; i < pixels; ++i) {
      const RgbSums each =
          is_rgb ? RgbSums{color.luma * a[i], color.luma * b[i], color.luma * c[i]} : to_sums(color, a[i], b[i], c[i]);
      sums[i] = each.red;
      sums[kBlock + i] = each.green;
      sums[2 * kBlock + i] = each.blue;
    }
    tone_map_block(table, sums, pixels, rgb + 3 * begin);
  }
}

}  // namespace acfd
