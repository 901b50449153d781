// The CPU ops that ext.cpp calls after checking the arguments. None of them uses Python.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "box_math.h"
#include "preprocess.h"
#include "tone_map.h"

// Marks a function that is compiled for several instruction sets and selected when the module loads, so
// that one portable binary uses what the CPU supports. Needs ifunc, hence glibc.
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12
#define ACFD_MULTIVERSION __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define ACFD_MULTIVERSION
#endif

// For bodies that must be inlined into their multiversioned caller.
#if defined(__GNUC__)
#define ACFD_ALWAYS_INLINE inline __attribute__((always_inline))
#else
#define ACFD_ALWAYS_INLINE inline
#endif

namespace acfd {

enum class PixelFormat { kYuv420p, kNv12, kRgb24 };

struct Size {
  int height, width;
};

// Samples of one or more interleaved channels; each row is contiguous.
struct Plane {
  const unsigned char* data;
  std::ptrdiff_t row_bytes;  // row stride in bytes, may be negative
};

struct LetterboxJob {
  Plane planes[3];
  PixelFormat format;
  int bit_depth;  // 8: bytes, more: 16-bit words
  Size stored_size;
  ColorTransform color;
  const ToneTable* tone;  // null: SDR of BT.709
  int rotation;           // degrees clockwise: 0, 90, 180, 270
  Size content_size, network_size;
  unsigned char pad[3];
  std::string instruction_set;  // one of letterbox_instruction_sets(); empty: the first
};

// Instruction sets with special code that this CPU supports, the best first.
std::vector<std::string> letterbox_instruction_sets();

// Fills `image`, [network height, network width, 3].
void letterbox_cpu(const LetterboxJob& job, unsigned char* image);

// Tone-mapped RGB, [count, 3], of three rows of 14-bit samples.
void tone_map_row(const ToneTable& table, const ColorTransform& color, bool is_rgb, const short* const* channels,
                  int count, unsigned char* rgb);

struct PoolJob {
  Plane plane;
  Size size;     // in samples of one channel
  int channels;  // interleaved
  int bit_depth;
  int block;  // samples of a block's side; blocks at the right and lower edge may be smaller
};

// Fills outs[c], [ceil(height / block), ceil(width / block)], with the means of channel c.
void mean_pool_cpu(const PoolJob& job, short* const* outs);

constexpr int kCellSide = 4;

// Fills out, [5, ceil(height / 4), ceil(width / 4)], with the sums over cells of a, b, aa, ab and bb, where a and b are
// 14-bit samples of `before` and `after`, [height, width] each.
void cell_moments_cpu(const short* before, const short* after, Size size, std::int64_t* out);

struct DecodeJob {
  const float* scores;  // [A]
  const float* deltas;  // [A, 4]
  std::vector<AnchorLevel> levels;
  Size content_size;
  float centre_variance, size_variance;
  float score_threshold;
  std::int64_t candidates;
};

struct DecodedBoxes {
  std::vector<float> boxes;  // [K, 4]
  std::vector<float> scores;
  std::vector<std::int64_t> indices;
  bool is_truncated;
};

DecodedBoxes decode_anchors_cpu(const DecodeJob& job);

// Indices of the boxes kept of `count` boxes [count, 4], best first.
std::vector<std::int64_t> nms_cpu(const float* boxes, const float* scores, std::int64_t count, float iou_threshold);

}  // namespace acfd
