// The mean of a block of samples. The reference implementation is acfd_stream/ops/reference.py.
#pragma once

#include "preprocess.h"

namespace acfd {

// Mean of `count` samples with sum `sum` as a 14-bit sample, halves up; 16-bit samples may round up to 2^14.
ACFD_HOST_DEVICE short round_mean(unsigned sum, int count, int bit_depth) {
  const unsigned long long twice = static_cast<unsigned long long>(count) << (bit_depth + 1);
  const unsigned long long whole = (static_cast<unsigned long long>(sum) << (kSampleBits + 1)) + (twice >> 1);
  return static_cast<short>(whole / twice);
}

}  // namespace acfd
