// CUDA's words for a C++ compiler: kernels run as they are, block after block, on the CPU.
//
// The threads of a block are fibers (run.h) or, for a race detector, threads of the system (race.h). Both give `meet`,
// on which every barrier and vote below stands. The order of blocks and threads is drawn from a seed, and shared memory
// begins as noise, so that a kernel which relies on either gives other results from run to run.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#define __global__
#define __device__ inline
#define __forceinline__
#define __launch_bounds__(...)
#define __restrict__
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __shared__ static __attribute__((section("acfd_shared")))
#define ACFD_DYNAMIC_SHARED(Type, name) Type* const name = reinterpret_cast<Type*>(on_cpu::dynamic_shared())

extern "C" char __start_acfd_shared[], __stop_acfd_shared[];

namespace on_cpu {

constexpr unsigned kWarpSize = 32;

struct Index {
  unsigned x = 0, y = 0, z = 0;
};

enum class Meeting : int { kBlock, kAny, kBallot, kShuffle, kWarp };

// What the members of a group (a block, a warp) bring to a meeting. Two rows: a member that has left one meeting may
// bring its value to the next before the others have read theirs, but nobody can be two ahead.
struct Group {
  std::vector<unsigned> members;
  std::vector<std::uint64_t> values[2];
  Meeting kind = Meeting::kBlock;
  unsigned meetings = 0;
  unsigned here = 0;  // members that have come to this one
};

// Waits until all members are here; gives what each of them brought, by lane.
const std::vector<std::uint64_t>& meet(Meeting kind, std::uint64_t value);

char* dynamic_shared();

inline void require(bool condition, const char* what) {
  if (!condition) throw std::logic_error(what);
}

struct Random {
  std::uint64_t state;

  std::uint64_t next() {  // xorshift*
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 2685821657736338717ull;
  }
  unsigned below(unsigned bound) { return static_cast<unsigned>((next() >> 33) % bound); }
  void fill(char* begin, const char* end) {
    while (begin < end) *begin++ = static_cast<char>(next() >> 56);
  }
  template <typename T>
  void shuffle(std::vector<T>& values) {
    for (std::size_t k = values.size(); k > 1; --k) std::swap(values[k - 1], values[below(static_cast<unsigned>(k))]);
  }
};

// Calls a kernel with arguments as the driver gets them: a pointer to each.
template <typename... Parameters, std::size_t... Places>
void call(void (*kernel)(Parameters...), void** arguments, std::index_sequence<Places...>) {
  kernel(*static_cast<Parameters*>(arguments[Places])...);
}

template <typename... Parameters>
void call(void (*kernel)(Parameters...), void** arguments) {
  call(kernel, arguments, std::index_sequence_for<Parameters...>{});
}

}  // namespace on_cpu

#if !defined(ON_CPU_THREAD_LOCAL)
#define ON_CPU_THREAD_LOCAL
#endif

extern ON_CPU_THREAD_LOCAL on_cpu::Index threadIdx;
extern on_cpu::Index blockIdx, blockDim;

inline void __syncthreads() { on_cpu::meet(on_cpu::Meeting::kBlock, 0); }

inline int __syncthreads_or(int value) {
  int any = 0;
  for (const std::uint64_t other : on_cpu::meet(on_cpu::Meeting::kAny, value != 0)) any |= other != 0;
  return any;
}

inline void __syncwarp() { on_cpu::meet(on_cpu::Meeting::kWarp, 0); }

inline unsigned __ballot_sync(unsigned mask, bool vote) {
  on_cpu::require(mask == ~0u, "a vote of part of a warp");
  unsigned votes = 0, lane = 0;
  for (const std::uint64_t other : on_cpu::meet(on_cpu::Meeting::kBallot, vote)) votes |= (other != 0) << lane++;
  return votes;
}

inline int __shfl_sync(unsigned mask, int value, int lane) {
  on_cpu::require(mask == ~0u, "a shuffle of part of a warp");
  return static_cast<int>(on_cpu::meet(on_cpu::Meeting::kShuffle, static_cast<std::uint32_t>(value))[lane % 32]);
}

inline int __shfl_up_sync(unsigned mask, int value, int distance) {
  on_cpu::require(mask == ~0u, "a shuffle of part of a warp");
  const int lane = static_cast<int>(threadIdx.x % on_cpu::kWarpSize);
  const auto& values = on_cpu::meet(on_cpu::Meeting::kShuffle, static_cast<std::uint32_t>(value));
  return static_cast<int>(values[lane >= distance ? lane - distance : lane]);
}

inline int atomicAdd(int* target, int value) { return __atomic_fetch_add(target, value, __ATOMIC_RELAXED); }

template <typename T>
T __ldg(const T* address) {
  return *address;
}

inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
inline int __ffs(int bits) { return __builtin_ffs(bits); }
inline int __clz(int bits) { return bits == 0 ? 32 : __builtin_clz(static_cast<unsigned>(bits)); }

// Four bytes out of eight; a digit of `selector` says which becomes byte k.
inline unsigned __byte_perm(unsigned low, unsigned high, unsigned selector) {
  const std::uint64_t both = static_cast<std::uint64_t>(high) << 32 | low;
  unsigned out = 0;
  for (int k = 0; k < 4; ++k) {
    const unsigned which = selector >> (4 * k) & 7;
    out |= static_cast<unsigned>(both >> (8 * which) & 0xFF) << (8 * k);
  }
  return out;
}

// Two 16-bit halves times two bytes, added up.
inline unsigned __dp2a_lo(unsigned halves, unsigned bytes, unsigned sum) {
  return sum + (halves & 0xFFFF) * (bytes & 0xFF) + (halves >> 16) * (bytes >> 8 & 0xFF);
}
inline unsigned __dp2a_hi(unsigned halves, unsigned bytes, unsigned sum) { return __dp2a_lo(halves, bytes >> 16, sum); }
