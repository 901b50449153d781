// The mean of a block of samples. The law is acfd_stream/ops/reference.py.
#pragma once

#include "preprocess.h"

namespace acfd {

// A 14-bit sample of `count` samples that add up to `sum`, halves up; 16 bits may round up to 2^14.
ACFD_HOST_DEVICE short round_mean(unsigned sum, int count, int bit_depth) {
  const unsigned long long twice = static_cast<unsigned long long>(count) << (bit_depth + 1);
  const unsigned long long whole = (static_cast<unsigned long long>(sum) << (kSampleBits + 1)) + (twice >> 1);
  return static_cast<short>(whole / twice);
}

}  // namespace acfd
