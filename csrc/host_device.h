// The macro that makes a header usable in the C++ build, nvcc and NVRTC.
//
// Headers that include this one contain arithmetic only: no standard library, no allocation, no Python.
// Two rules keep all backends bit-identical: fixed-point arithmetic uses integers that cannot overflow,
// and float arithmetic is built without contraction to FMA
// (-ffp-contract=off here, --fmad=false on the device).
#pragma once

#if defined(__CUDACC__)
#define ACFD_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define ACFD_HOST_DEVICE inline
#endif

#if !defined(__CUDACC_RTC__)
#include <string.h>  // memcpy, built into NVRTC
#endif

#if defined(__FAST_MATH__)
#error "acfd_stream must not be built with -ffast-math: the backends would no longer agree"
#endif

namespace acfd {

ACFD_HOST_DEVICE unsigned bits_of(float value) {
  unsigned bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

ACFD_HOST_DEVICE float float_of(unsigned bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

template <typename T>
ACFD_HOST_DEVICE T smaller(T a, T b) {
  return a < b ? a : b;
}

template <typename T>
ACFD_HOST_DEVICE T larger(T a, T b) {
  return a > b ? a : b;
}

}  // namespace acfd
