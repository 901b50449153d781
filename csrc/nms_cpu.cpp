#include <algorithm>

#include "ops_cpu.h"

namespace acfd {
namespace {

// Kept boxes as structure of arrays, padded with empty boxes to a whole number of blocks: compilers vectorise
// an inner loop of fixed length without branches.
constexpr std::size_t kBlock = 64;

struct KeptBoxes {
  std::vector<float> x1, y1, x2, y2, areas;
  std::size_t count = 0;

  void add(Box box) {
    if (count % kBlock == 0) {
      for (std::vector<float>* values : {&x1, &y1, &x2, &y2, &areas}) values->resize(count + kBlock, 0.0f);
    }
    x1[count] = box.x1;
    y1[count] = box.y1;
    x2[count] = box.x2;
    y2[count] = box.y2;
    areas[count] = area(box);
    ++count;
  }
};

// Whether any kept box overlaps `box` above the threshold. Padding never does: an empty box at the origin
// shares no area with any box.
ACFD_MULTIVERSION bool is_suppressed(const float* x1, const float* y1, const float* x2, const float* y2,
                                     const float* areas, std::size_t count, Box box, float threshold) {
  const float box_area = area(box);
  for (std::size_t begin = 0; begin < count; begin += kBlock) {
    int hits = 0;
    for (std::size_t k = begin; k < begin + kBlock; ++k) {
      hits |= overlaps_above({x1[k], y1[k], x2[k], y2[k]}, areas[k], box, box_area, threshold) ? 1 : 0;
    }
    if (hits != 0) return true;
  }
  return false;
}

std::vector<std::uint64_t> visiting_order(const float* scores, std::int64_t count) {
  std::vector<std::uint64_t> ranks(count);
  for (std::int64_t index = 0; index < count; ++index) {
    ranks[index] = static_cast<std::uint64_t>(falling_key(scores[index])) << 32 | static_cast<std::uint64_t>(index);
  }
  std::sort(ranks.begin(), ranks.end());
  return ranks;
}

}  // namespace

std::vector<std::int64_t> nms_cpu(const float* boxes, const float* scores, std::int64_t count, float iou_threshold) {
  std::vector<std::int64_t> indices;
  KeptBoxes kept;
  for (const std::uint64_t rank : visiting_order(scores, count)) {
    const std::int64_t index = static_cast<std::uint32_t>(rank);
    const float* values = boxes + index * 4;
    const Box box{values[0], values[1], values[2], values[3]};
    if (has_area(box)) {
      if (is_suppressed(kept.x1.data(), kept.y1.data(), kept.x2.data(), kept.y2.data(), kept.areas.data(), kept.count,
                        box, iou_threshold)) {
        continue;
      }
      kept.add(box);
    }
    indices.push_back(index);
  }
  return indices;
}

}  // namespace acfd
