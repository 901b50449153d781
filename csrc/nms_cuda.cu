// nms on the device: one block per picture, thirty-two boxes at a time, best first.
//
// A matrix of all pairs needs a million comparisons for a thousand boxes, mostly between boxes that are already
// suppressed. Greedy suppression needs only comparisons with kept boxes, and these are few: at most `faces` per
// picture. A block therefore stores the kept boxes in shared memory, compares the next thirty-two candidates with them,
// resolves these candidates among each other with one bit each, and stops as soon as it has enough.

#include "block_ranks.h"
#include "cuda_jobs.h"

namespace acfd {

// A kept box; five words, so that neighbours are in different banks. A box without area is stored empty at the origin,
// where it shares no area with any box.
struct KeptBox {
  Box box;
  float area;
};

// Shared memory: the current group of candidates.
struct Group {
  KeptBox members[kWarp];
  unsigned overlapping[kWarp];  // of each member: the earlier members that it overlaps
  int is_dropped[kWarp];        // by a box kept before this group
  int kept;                     // boxes so far
  float cut_score;
};

struct Candidates {
  const Box* boxes;
  const float* scores;
  int scales, capacity;  // of a scale
};

__device__ __forceinline__ KeptBox with_area(Box box) {
  return has_area(box) ? KeptBox{box, area(box)} : KeptBox{{0.0f, 0.0f, 0.0f, 0.0f}, 0.0f};
}

__device__ __forceinline__ bool overlaps(const KeptBox& kept, const KeptBox& member, float threshold) {
  return overlaps_above(kept.box, kept.area, member.box, member.area, threshold);
}

// Sorted ranks of all candidates of the picture; returns their number. An index is scale * capacity + position, which
// has the same order as positions in the concatenation of all scales.
__device__ __forceinline__ int rank_candidates(const Candidates& all, const CandidateCount* counts, Rank* ranks) {
  int total = 0;
  for (int scale = 0; scale < all.scales; ++scale) {
    const int count = counts[scale].kept;
    for (int place = static_cast<int>(threadIdx.x); place < count; place += static_cast<int>(blockDim.x)) {
      const int index = scale * all.capacity + place;
      ranks[total + place] = static_cast<Rank>(falling_key(all.scores[index])) << 32 | static_cast<unsigned>(index);
    }
    total += count;
  }
  __syncthreads();
  bool is_out_of_order = false;
  for (int place = static_cast<int>(threadIdx.x) + 1; place < total; place += static_cast<int>(blockDim.x)) {
    is_out_of_order |= ranks[place - 1] > ranks[place];
  }
  if (__syncthreads_or(is_out_of_order)) sort_ranks(ranks, total);  // a single scale is already sorted
  return total;
}

// One warp checks a member against 32 kept boxes at a time, and records which earlier members it overlaps.
__device__ __forceinline__ void compare_member(int member, const KeptBox* kept, int kept_count, float threshold,
                                               Group& group) {
  const int lane = lane_of_thread();
  const KeptBox own = group.members[member];
  unsigned dropping = 0;
  for (int begin = 0; begin < kept_count && dropping == 0; begin += kWarp) {
    const int place = begin + lane;
    dropping = __ballot_sync(kWholeWarp, place < kept_count && overlaps(kept[place], own, threshold));
  }
  const unsigned overlapping =
      __ballot_sync(kWholeWarp, lane < member && overlaps(group.members[lane], own, threshold));
  if (lane == 0) {
    group.overlapping[member] = overlapping;
    group.is_dropped[member] = dropping != 0;
  }
}

// Members that are kept, one bit each. A member is decided once all earlier members that it overlaps are decided: it is
// dropped if one of these is kept, else kept. Each round decides at least the first open one, usually nearly all.
__device__ __forceinline__ unsigned settle_group(unsigned open, unsigned overlapping) {
  unsigned kept = 0;
  while (open != 0) {
    const bool is_open = (open >> lane_of_thread() & 1) != 0;
    const bool is_dropped = is_open && (overlapping & kept) != 0;
    const bool is_kept = is_open && !is_dropped && (overlapping & open) == 0;
    const unsigned now_kept = __ballot_sync(kWholeWarp, is_kept);
    const unsigned now_dropped = __ballot_sync(kWholeWarp, is_dropped);
    kept |= now_kept;
    open &= ~(now_kept | now_dropped);
  }
  return kept;
}

// The first warp decides the group and appends its kept boxes to `kept` and to the result.
__device__ __forceinline__ void keep_members(const Candidates& all, const Rank* ranks, int count, int faces,
                                             KeptBox* kept, FaceRow* rows, Group& group) {
  const int lane = lane_of_thread();
  const bool is_open = lane < count && group.is_dropped[lane] == 0;
  const unsigned keeping = settle_group(__ballot_sync(kWholeWarp, is_open), lane < count ? group.overlapping[lane] : 0);
  const int before = group.kept;
  const int place = before + __popc(keeping & lanes_before());
  if ((keeping >> lane & 1) != 0 && place <= faces) {
    kept[place] = group.members[lane];
    const int index = static_cast<int>(ranks[lane] & 0xFFFFFFFFu);
    if (place < faces) {
      rows[place] = {all.boxes[index], all.scores[index], index};
    } else {
      group.cut_score = all.scores[index];  // the best box beyond the limit
    }
  }
  // Lanes are not in lockstep since Volta: all must have read `kept` before it grows.
  __syncwarp();
  if (lane == 0) group.kept = before + __popc(keeping);
}

}  // namespace acfd

// Greedy suppression of the candidates of all scales of every picture, one block each.
extern "C" __global__ void __launch_bounds__(1024)
    nms(const acfd::Box* __restrict__ boxes,       // [pictures, scales, candidates]
        const float* __restrict__ scores,          // [pictures, scales, candidates]
        const acfd::CandidateCount* scale_counts,  // [pictures, scales]
        int scales, int candidates, float iou_threshold, int faces,
        int slots,               // scales * candidates rounded up to a power of two
        unsigned char* scratch,  // [pictures, block_bytes], or null: dynamic shared memory of that size
        int block_bytes,         // one rank per slot, then faces + 1 kept boxes
        unsigned char* results,  // [pictures, result_bytes]: FaceCount, then `faces` × FaceRow
        int result_bytes) {
  using namespace acfd;
  __shared__ Group group;
  ACFD_DYNAMIC_SHARED(Rank, shared_ranks);
  const long long picture = blockIdx.x;
  Rank* ranks = scratch == nullptr ? shared_ranks : reinterpret_cast<Rank*>(scratch + picture * block_bytes);
  KeptBox* kept = reinterpret_cast<KeptBox*>(ranks + slots);
  unsigned char* result = results + picture * result_bytes;
  FaceRow* rows = reinterpret_cast<FaceRow*>(result + sizeof(FaceCount));
  const long long first = picture * scales * candidates;
  const Candidates all{boxes + first, scores + first, scales, candidates};
  const CandidateCount* counts = scale_counts + picture * scales;

  if (threadIdx.x == 0) {
    group.kept = 0;
    group.cut_score = 0.0f;
  }
  const int total = rank_candidates(all, counts, ranks);  // synchronises
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  for (int begin = 0; begin < total && group.kept <= faces; begin += kWarp) {
    const int count = smaller(total - begin, kWarp);
    const int kept_count = group.kept;
    if (static_cast<int>(threadIdx.x) < count) {
      group.members[threadIdx.x] = with_area(all.boxes[ranks[begin + threadIdx.x] & 0xFFFFFFFFu]);
    }
    __syncthreads();
    for (int member = warp_of_thread(); member < count; member += warps) {
      compare_member(member, kept, kept_count, iou_threshold, group);
    }
    __syncthreads();
    if (warp_of_thread() == 0) keep_members(all, ranks + begin, count, faces, kept, rows, group);
    __syncthreads();
  }
  if (threadIdx.x != 0) return;
  FaceCount head{smaller(group.kept, faces), group.kept > faces, group.cut_score, 0};
  for (int scale = 0; scale < scales; ++scale) {
    if (counts[scale].passed <= counts[scale].kept) continue;
    head.is_truncated = 1;  // the limit on candidates removed boxes that score no more than the last one
    head.cut_score = larger(head.cut_score, all.scores[scale * candidates + counts[scale].kept - 1]);
  }
  *reinterpret_cast<FaceCount*>(result) = head;
}
