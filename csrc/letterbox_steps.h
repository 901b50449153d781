// The steps of the letterbox on the CPU, once for every instruction set that has its own code for them.
//
// All give the same integers; letterbox_cpu.cpp walks over a picture and calls those that the machine runs.
#pragma once

#include <cstddef>
#include <vector>

#include "ops_cpu.h"

// Intrinsics behind target attributes: no file is built with -m flags, and what the machine has is asked when it runs.
#if defined(__x86_64__) && defined(__GNUC__)
#define ACFD_X86 1
#else
#define ACFD_X86 0
#endif

namespace acfd {

// Rows of samples have room for so many more: vector code may read that far behind the last one, and write.
constexpr int kSlack = 32;

// Weights of every output of one axis; those of output i begin at weights[i * stride], for samples from first[i].
struct Taps {
  int outputs, stride;         // stride: 4 or a multiple of 8
  std::vector<int> first;      // [outputs, rounded up to a multiple of 8], the last ones 0
  std::vector<int> counts;     // [outputs], taps of each
  std::vector<short> weights;  // [as many as `first`, stride], zero behind an output's last tap

  explicit Taps(const Axis& axis);

  const short* row(int output) const { return weights.data() + static_cast<std::size_t>(output) * stride; }
};

// Rows of a plane that make one row of the result.
struct ColumnSum {
  const unsigned char* const* rows;  // [taps]
  const short* weights;              // [taps]
  int taps;                          // even
  int count;                         // samples a row
  int bit_depth;
  const unsigned char* const* next;  // [next_count], rows that will be read for the first time after this
  int next_count;
};

struct LetterboxSteps {
  const char* name;
  // out[i] = rounded sum over t of weights[t] * rows[t][i].
  void (*sum_columns)(const ColumnSum& sum, short* out);
  // out[i] = rounded dot product of the taps of output i. `samples` may be read, `out` written kSlack too far.
  void (*sum_rows)(const short* samples, const Taps& taps, short* out);
  // RGB [count, 3] of three rows of 14-bit samples, which may be read kSlack too far.
  void (*color_row)(const ColorTransform& color, const short* const* yuv, int count, unsigned char* out);
  void (*level_row)(int gain, const short* const* rgb, int count, unsigned char* out);
  // out[i] = sample i of `channel`, of 2 or 3 interleaved ones.
  void (*pick_channel)(const short* interleaved, int channels, int channel, int count, short* out);
};

// The loop of `pick_channel`, compiled with the instructions of whoever calls it.
[[gnu::always_inline]] inline void pick(const short* interleaved, int channels, int channel, int count, short* out) {
  interleaved += channel;
  if (channels == 2) {  // a step known to the compiler is what it can shuffle
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
