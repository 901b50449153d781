#include <algorithm>

#include "ops_cpu.h"

namespace acfd {
namespace {

// Descending score key in the high half, index in the low half: ascending order is that of the reference.
std::uint64_t rank_of(float score, std::size_t index) {
  return static_cast<std::uint64_t>(falling_key(score)) << 32 | index;
}

std::vector<std::uint64_t> ranks_above(const DecodeJob& job) {
  std::size_t count = 0;
  for (const AnchorLevel& level : job.levels) {
    count += static_cast<std::size_t>(level.height) * level.width;
  }
  std::vector<std::uint64_t> ranks;
  for (std::size_t index = 0; index < count; ++index) {
    if (job.scores[index] >= job.score_threshold) ranks.push_back(rank_of(job.scores[index], index));
  }
  return ranks;
}

}  // namespace

DecodedBoxes decode_anchors_cpu(const DecodeJob& job) {
  std::vector<std::uint64_t> ranks = ranks_above(job);
  DecodedBoxes out;
  out.is_truncated = ranks.size() > static_cast<std::size_t>(job.candidates);
  if (out.is_truncated) {
    std::nth_element(ranks.begin(), ranks.begin() + job.candidates, ranks.end());
    ranks.resize(job.candidates);
  }
  std::sort(ranks.begin(), ranks.end());

  const Variances variances{job.centre_variance, job.size_variance};
  const float width = static_cast<float>(job.content_size.width);
  const float height = static_cast<float>(job.content_size.height);
  out.boxes.reserve(ranks.size() * 4);
  out.scores.reserve(ranks.size());
  out.indices.reserve(ranks.size());
  for (const std::uint64_t rank : ranks) {
    const std::int64_t index = static_cast<std::uint32_t>(rank);
    const Anchor anchor = anchor_at(job.levels.data(), static_cast<int>(index));
    const Box box = decode_box(anchor, job.deltas + index * 4, variances, width, height);
    out.boxes.insert(out.boxes.end(), {box.x1, box.y1, box.x2, box.y2});
    out.scores.push_back(job.scores[index]);
    out.indices.push_back(index);
  }
  return out;
}

}  // namespace acfd
