// Blocks one after the other, their threads as threads of the system, for ThreadSanitizer to watch.
//
// It must see the order that CUDA promises and no more: a barrier of the block and __syncwarp order memory, a vote or a
// shuffle does not. So these meet by relaxed atomics alone, and the others by those and two fences of a counter.
#pragma once

#include <sched.h>

#include <atomic>
#include <functional>
#include <memory>
#include <thread>

#define ON_CPU_THREAD_LOCAL thread_local
#include "cuda.h"

namespace on_cpu {

struct MeetingPlace {
  explicit MeetingPlace(unsigned members) : size(members) {
    for (auto& row : values) row.resize(members);
  }

  unsigned size;
  std::atomic<unsigned> here{0}, meetings{0}, fence{0};
  std::vector<std::uint64_t> values[2];
};

struct RunningBlock {
  std::unique_ptr<MeetingPlace> block;
  std::vector<std::unique_ptr<MeetingPlace>> warps;
  std::vector<std::uint64_t> shared;
};

inline RunningBlock& running() {
  static RunningBlock block;
  return block;
}

inline const std::vector<std::uint64_t>& meet(Meeting kind, std::uint64_t value) {
  const bool is_of_block = kind == Meeting::kBlock || kind == Meeting::kAny;
  MeetingPlace& place = is_of_block ? *running().block : *running().warps[threadIdx.x / kWarpSize];
  const bool is_fence = is_of_block || kind == Meeting::kWarp;
  const unsigned meeting = place.meetings.load(std::memory_order_relaxed);
  auto& row = place.values[meeting % 2];
  __atomic_store_n(&row[is_of_block ? threadIdx.x : threadIdx.x % kWarpSize], value, __ATOMIC_RELAXED);
  if (is_fence) place.fence.fetch_add(1, std::memory_order_acq_rel);
  if (place.here.fetch_add(1, std::memory_order_relaxed) + 1 == place.size) {
    place.here.store(0, std::memory_order_relaxed);
    place.meetings.fetch_add(1, std::memory_order_relaxed);
  } else {
    while (place.meetings.load(std::memory_order_relaxed) == meeting) sched_yield();
  }
  if (is_fence) place.fence.fetch_add(1, std::memory_order_acq_rel);
  thread_local std::vector<std::uint64_t> seen;
  seen.resize(place.size);
  for (unsigned k = 0; k < place.size; ++k) seen[k] = __atomic_load_n(&row[k], __ATOMIC_RELAXED);
  return seen;
}

inline char* dynamic_shared() { return reinterpret_cast<char*>(running().shared.data()); }

inline void run_block(Index index, unsigned threads, unsigned shared_bytes, Random& random,
                      const std::function<void()>& body) {
  RunningBlock& block = running();
  blockIdx = index;
  blockDim = {threads, 1, 1};
  block.block = std::make_unique<MeetingPlace>(threads);
  block.warps.clear();
  for (unsigned warp = 0; warp < threads / kWarpSize; ++warp) {
    block.warps.push_back(std::make_unique<MeetingPlace>(kWarpSize));
  }
  block.shared.resize(shared_bytes / sizeof(std::uint64_t) + 1);
  random.fill(__start_acfd_shared, __stop_acfd_shared);
  std::vector<std::thread> running_threads;
  for (unsigned thread = 0; thread < threads; ++thread) {
    running_threads.emplace_back([thread, &body] {
      threadIdx = {thread, 0, 0};
      body();
    });
  }
  for (std::thread& thread : running_threads) thread.join();
}

}  // namespace on_cpu
