// decode_anchors on the device: one block per view selects the best candidates, sorts and decodes them.
//
// 34125 scores are 136 kB, which one multiprocessor reads from L2 in a few microseconds. A view therefore needs no
// second block and no launch between the steps. Usually few anchors pass the threshold, and one pass lists them all.
// If more pass than the limit allows, a radix select finds the rank of the last candidate to keep.

#include "block_ranks.h"
#include "cuda_jobs.h"

namespace acfd {

constexpr int kDigitBits = 11;  // three digits of a score's key
constexpr int kBins = 1 << kDigitBits;
constexpr int kLoads = 8;  // loads in flight per thread, which hides the latency of L2

// A view's scores and their ranks: 32 bits of key above as few bits as the indices need, so that the select has few
// digits to process.
struct ScoreRow {
  const float* scores;
  int count;
  float threshold;
  int index_bits;

  __device__ Rank rank(float score, int index) const {
    return static_cast<Rank>(falling_key(score)) << index_bits | static_cast<unsigned>(index);
  }
  __device__ int index(Rank rank) const { return static_cast<int>(rank & ((Rank{1} << index_bits) - 1)); }
};

// Shared memory of the select.
struct Selection {
  int bins[kBins];
  int warp_sums[kWarpsMax];
  int digit, before, inside;  // bin of the last rank: its digit, ranks in lower bins, ranks in it
  int listed;                 // ranks that were listed, or would have been with enough space
};

// Calls visit(has_passed, rank) for every score. All threads iterate equally often, so `visit` may use warp-wide
// intrinsics.
template <typename Visit>
__device__ __forceinline__ void visit_scores(const ScoreRow& row, Visit visit) {
  const int threads = static_cast<int>(blockDim.x);
  for (int begin = 0; begin < row.count; begin += kLoads * threads) {
    float scores[kLoads];
#pragma unroll
    for (int k = 0; k < kLoads; ++k) {
      const int index = begin + k * threads + static_cast<int>(threadIdx.x);
      scores[k] = index < row.count ? row.scores[index] : 0.0f;
    }
#pragma unroll
    for (int k = 0; k < kLoads; ++k) {
      const int index = begin + k * threads + static_cast<int>(threadIdx.x);
      visit(index < row.count && scores[k] >= row.threshold, row.rank(scores[k], index));  // NaN never passes
    }
  }
}

// Lists the ranks up to `last` in any order, and returns how many there are; those past `capacity` are counted only.
__device__ __forceinline__ int list_ranks(const ScoreRow& row, Rank last, Rank* list, int capacity, Selection& shared) {
  if (threadIdx.x == 0) shared.listed = 0;
  __syncthreads();
  visit_scores(row, [&](bool has_passed, Rank rank) {
    const bool is_listed = has_passed && rank <= last;
    const unsigned votes = __ballot_sync(kWholeWarp, is_listed);
    if (votes == 0) return;  // the common case: no thread of the warp
    // One atomic addition per warp, because all threads add to the same word.
    const int leader = __ffs(static_cast<int>(votes)) - 1;
    int place = 0;
    if (lane_of_thread() == leader) place = atomicAdd(&shared.listed, __popc(votes));
    place = __shfl_sync(kWholeWarp, place, leader) + __popc(votes & lanes_before());
    if (is_listed && place < capacity) list[place] = rank;
  });
  __syncthreads();
  return shared.listed;
}

// Histogram of the digit at `shift` over ranks whose bits from `above` on are `prefix`. Similar scores have equal first
// digits, so a thread sums up a run of equal digits before it adds to a contended bin.
__device__ __forceinline__ void count_digits(const ScoreRow& row, Rank prefix, int above, int shift, int* bins) {
  const unsigned mask = (1u << (above - shift)) - 1;
  unsigned run_digit = 0;
  int run = 0;
  visit_scores(row, [&](bool has_passed, Rank rank) {
    if (!has_passed || rank >> above != prefix) return;
    const unsigned digit = static_cast<unsigned>(rank >> shift) & mask;
    if (digit != run_digit) {
      if (run > 0) atomicAdd(&bins[run_digit], run);
      run_digit = digit;
      run = 0;
    }
    ++run;
  });
  if (run > 0) atomicAdd(&bins[run_digit], run);
}

// Finds the bin of element number `wanted` (from 1).
__device__ __forceinline__ void find_bin(int wanted, Selection& shared) {
  const int threads = static_cast<int>(blockDim.x);
  const int bins_each = (kBins + threads - 1) / threads;
  const int begin = smaller(static_cast<int>(threadIdx.x) * bins_each, kBins);
  const int end = smaller(begin + bins_each, kBins);
  int own = 0;
  for (int bin = begin; bin < end; ++bin) own += shared.bins[bin];
  int before = sum_before(own, shared.warp_sums);
  if (before >= wanted || before + own < wanted) return;  // one thread goes on
  int bin = begin;
  for (; before + shared.bins[bin] < wanted; ++bin) before += shared.bins[bin];
  shared.digit = bin;
  shared.before = before;
  shared.inside = shared.bins[bin];
}

// The rank up to which there are exactly `wanted` ranks, where more have passed. Ranks are unique, so it always exists,
// and ties are resolved by index.
__device__ __forceinline__ Rank select_last(const ScoreRow& row, int wanted, Selection& shared) {
  Rank prefix = 0;
  int shift = 32 + row.index_bits;
  while (shift > 0) {
    const int above = shift;
    shift = larger(above - kDigitBits, 0);
    for (int bin = static_cast<int>(threadIdx.x); bin < kBins; bin += static_cast<int>(blockDim.x)) {
      shared.bins[bin] = 0;
    }
    __syncthreads();
    count_digits(row, prefix, above, shift, shared.bins);
    __syncthreads();
    find_bin(wanted, shared);
    __syncthreads();
    prefix = prefix << (above - shift) | static_cast<unsigned>(shared.digit);
    wanted -= shared.before;
    if (shared.inside == wanted) break;  // the whole bin is kept
  }
  return (prefix + 1) * (Rank{1} << shift) - 1;
}

}  // namespace acfd

// Fills slot (picture * scales + scale) of boxes, chosen, indices and counts; a slot has space for `candidates`.
extern "C" __global__ void __launch_bounds__(1024)
    decode_anchors(const float* __restrict__ scores,  // [pictures, anchors]
                   const float* __restrict__ deltas,  // [pictures, anchors, 4]
                   const acfd::AnchorLevel* levels, const acfd::ViewPlacement* views, int anchors, int scale,
                   int scales, float centre_variance, float size_variance, float score_threshold, int candidates,
                   int slots,            // candidates rounded up to a power of two
                   acfd::Rank* scratch,  // [pictures * scales, slots], or null: dynamic shared memory of a block
                   acfd::Box* boxes, float* chosen, int* indices, acfd::CandidateCount* counts) {
  using namespace acfd;
  __shared__ Selection shared;
  ACFD_DYNAMIC_SHARED(Rank, shared_ranks);
  const int picture = static_cast<int>(blockIdx.x);
  const int slot = picture * scales + scale;
  const ViewPlacement view = views[slot];
  if (!(view.content_width > 0.0f)) {
    if (threadIdx.x == 0) counts[slot] = {0, 0};
    return;
  }
  const long long first = static_cast<long long>(picture) * anchors;
  const ScoreRow row{scores + first, anchors, score_threshold, 32 - __clz(anchors)};
  Rank* ranks = scratch == nullptr ? shared_ranks : scratch + static_cast<long long>(slot) * slots;

  const int passed = list_ranks(row, ~Rank{0}, ranks, candidates, shared);
  int kept = passed;
  if (passed > candidates) {
    const Rank last = select_last(row, candidates, shared);
    kept = smaller(list_ranks(row, last, ranks, candidates, shared), candidates);
  }
  sort_ranks(ranks, kept);

  const long long begin = static_cast<long long>(slot) * candidates;
  for (int place = static_cast<int>(threadIdx.x); place < kept; place += static_cast<int>(blockDim.x)) {
    const int index = row.index(ranks[place]);
    const Box box = decode_box(anchor_at(levels, index), deltas + (first + index) * 4, {centre_variance, size_variance},
                               view.content_width, view.content_height);
    boxes[begin + place] = to_display(box, view);
    chosen[begin + place] = row.scores[index];
    indices[begin + place] = index;
  }
  if (threadIdx.x == 0) counts[slot] = {kept, passed};
}
