// Interface of the letterbox steps on the CPU; each supported instruction set implements it.
//
// All return the same integers. letterbox_cpu.cpp iterates over a picture and calls those that the CPU supports.
#pragma once

#include <cstddef>
#include <vector>

#include "ops_cpu.h"

// Intrinsics use target attributes: no file is built with -m flags, and the CPU is detected at run time.
#if defined(__x86_64__) && defined(__GNUC__)
#define ACFD_X86 1
#else
#define ACFD_X86 0
#endif

namespace acfd {

// Rows of samples have this many spare elements: vector code may read and write this far after the last one.
constexpr int kSlack = 32;

// Weights of every output of one axis. Those of output i start at weights[i * stride], for samples from first[i].
struct Taps {
  int outputs, stride;         // stride: 4 or a multiple of 8
  std::vector<int> first;      // [outputs, rounded up to a multiple of 8], the last ones 0
  std::vector<int> counts;     // [outputs], taps of each
  std::vector<short> weights;  // [as many as `first`, stride], zero after an output's last tap

  explicit Taps(const Axis& axis);

  const short* row(int output) const { return weights.data() + static_cast<std::size_t>(output) * stride; }
};

// Rows of a plane that are summed to one row of the result.
struct ColumnSum {
  const unsigned char* const* rows;  // [taps]
  const short* weights;              // [taps]
  int taps;                          // even
  int count;                         // samples per row
  int bit_depth;
  const unsigned char* const* next;  // [next_count], rows to be read for the first time next
  int next_count;
};

struct LetterboxSteps {
  const char* name;
  // out[i] = rounded sum over t of weights[t] * rows[t][i].
  void (*sum_columns)(const ColumnSum& sum, short* out);
  // out[i] = rounded dot product of the taps of output i. It may read `samples`, and write `out`, up to kSlack elements
  // too far.
  void (*sum_rows)(const short* samples, const Taps& taps, short* out);
  // RGB [count, 3] of three rows of 14-bit samples, which may be read up to kSlack elements too far.
  void (*color_row)(const ColorTransform& color, const short* const* yuv, int count, unsigned char* out);
  void (*level_row)(int gain, const short* const* rgb, int count, unsigned char* out);
  // out[i] = sample i of `channel`, of 2 or 3 interleaved ones.
  void (*pick_channel)(const short* interleaved, int channels, int channel, int count, short* out);
};

// The loop of `pick_channel`, compiled with the instruction set of its caller.
[[gnu::always_inline]] inline void pick(const short* interleaved, int channels, int channel, int count, short* out) {
  interleaved += channel;
  if (channels == 2) {  // with a constant step the compiler can use shuffles
    for (int i = 0; i < count; ++i) out[i] = interleaved[2 * i];
  } else {
    for (int i = 0; i < count; ++i) out[i] = interleaved[3 * i];
  }
}

extern const LetterboxSteps kPortableSteps;
#if ACFD_X86
extern const LetterboxSteps kAvx2Steps;
#endif

}  // namespace acfd
