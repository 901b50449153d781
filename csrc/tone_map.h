// Light of one picture to that of another display: HDR or BT.2020 to SDR BT.709, by lookups of fixed cost.
//
// The table is made by acfd_stream/ops/tone.py, which gives the sources of the curves. The reference implementation is
// acfd_stream/ops/reference.py; it evaluates the same expressions in the same order.
#pragma once

#include "preprocess.h"

namespace acfd {

constexpr int kToneCodeBits = 4;                        // a code is a level in 1/16
constexpr int kToneCodes = (255 << kToneCodeBits) + 1;  // black … the highest signal
constexpr int kToneBinShift = 15;                       // a bin is 1/256 of an octave of light
constexpr unsigned kDarkest = (127 - 22) << 23;         // bits of 2^-22, white being 1: a tenth of the first level
constexpr int kToneBins = (22 << 8) + 1;                // 2^-22 … 1

// Floats only, in the order of tone.py.
struct ToneTable {
  float gamut[9];           // linear RGB to linear RGB of BT.709
  float luminance[3];       // of linear red, green, blue
  float light[kToneCodes];  // linear light of a code
  float gain[kToneBins];    // of the display (HLG's system gamma), by luminance
  float level[kToneBins];   // 0 … 255, by linear light
};

// Of a signal in 1 / 2^kColorBits level.
ACFD_HOST_DEVICE int tone_code(int sum) {
  constexpr int kShift = kColorBits - kToneCodeBits;
  return larger(smaller((sum + (1 << (kShift - 1))) >> kShift, kToneCodes - 1), 0);
}

// Of linear light, white being 1.
ACFD_HOST_DEVICE int tone_bin(float light) {
  const unsigned bits = bits_of(larger(light, float_of(kDarkest)));
  return smaller(static_cast<int>((bits - kDarkest) >> kToneBinShift), kToneBins - 1);
}

}  // namespace acfd
