// Block-wide primitives on ranks: exclusive prefix sum and sorting.
//
// A rank has the score's descending key in its high bits and the index in its low bits. Ranks are unique, and their
// ascending order is that of the reference: best first, ties by lower index. The order of threads changes no result.
#pragma once

#include "host_device.h"

// Dynamic shared memory, sized at launch. Tests that run the kernels on the CPU replace it.
#if !defined(ACFD_DYNAMIC_SHARED)
#define ACFD_DYNAMIC_SHARED(Type, name) extern __shared__ Type name[]
#endif

namespace acfd {

using Rank = unsigned long long;

constexpr int kWarp = 32;
constexpr unsigned kWholeWarp = 0xFFFFFFFFu;
constexpr int kWarpsMax = 32;  // of a block

__device__ __forceinline__ int lane_of_thread() { return static_cast<int>(threadIdx.x) % kWarp; }
__device__ __forceinline__ int warp_of_thread() { return static_cast<int>(threadIdx.x) / kWarp; }
__device__ __forceinline__ unsigned lanes_before() { return (1u << lane_of_thread()) - 1; }

// Sum of `value` over all lower threads. `warp_sums` is shared, [kWarpsMax]. All threads of the block must call it, and
// synchronise before the next call.
__device__ __forceinline__ int sum_before(int value, int* warp_sums) {
  int sum = value;
  for (int distance = 1; distance < kWarp; distance *= 2) {
    const int other = __shfl_up_sync(kWholeWarp, sum, distance);
    if (lane_of_thread() >= distance) sum += other;
  }
  if (lane_of_thread() == kWarp - 1) warp_sums[warp_of_thread()] = sum;
  __syncthreads();
  for (int warp = 0; warp < warp_of_thread(); ++warp) sum += warp_sums[warp];
  return sum - value;
}

// Sorts `ranks` in ascending order with a bitonic network; `ranks` has space for `count` rounded up to a power of two.
// The steps do not depend on the data. A thousand ranks in shared memory take 55 steps, a few microseconds; a radix
// sort would pay off only for many more.
__device__ __forceinline__ void sort_ranks(Rank* ranks, int count) {
  const int threads = static_cast<int>(blockDim.x), thread = static_cast<int>(threadIdx.x);
  int size = 1;
  while (size < count) size *= 2;
  for (int place = count + thread; place < size; place += threads) ranks[place] = ~Rank{0};  // stay at the end
  __syncthreads();
  for (int run = 2; run <= size; run *= 2) {
    for (int step = run / 2; step > 0; step /= 2) {
      for (int pair = thread; pair < size / 2; pair += threads) {
        const int low = 2 * pair - (pair & (step - 1));
        const Rank a = ranks[low], b = ranks[low + step];
        const bool is_rising = (low & run) == 0;
        if ((a > b) == is_rising) {
          ranks[low] = b;
          ranks[low + step] = a;
        }
      }
      __syncthreads();
    }
  }
}

}  // namespace acfd
