// Boxes: decoding from an anchor, order of scores, overlap. float32 throughout.
//
// The reference implementation is acfd_stream/ops/reference.py; it evaluates the same expressions in the same order.
#pragma once

#include "host_device.h"

namespace acfd {

struct Box {
  float x1, y1, x2, y2;
};

struct Anchor {
  float x, y, side;  // centre and side, network pixels
};

struct Variances {
  float centre, size;
};

// Feature level of the network: an anchor of side `side` in the centre of every `stride` pixels.
struct AnchorLevel {
  int stride;
  float side;
  int height, width;  // cells
};

// The anchor at `index`, in order of levels, then rows.
ACFD_HOST_DEVICE Anchor anchor_at(const AnchorLevel* level, int index) {
  while (index >= level->height * level->width) {
    index -= level->height * level->width;
    ++level;
  }
  const float stride = static_cast<float>(level->stride);
  return {(static_cast<float>(index % level->width) + 0.5f) * stride,
          (static_cast<float>(index / level->width) + 0.5f) * stride, level->side};
}

// Limits of the log-ratio of a box's side to its anchor's: ratios e^-80 … 62.5.
constexpr float kLogRatioMax = 4.135166556742356f;
constexpr float kLogRatioMin = -80.0f;

// `value` clamped to [low, high]; NaN becomes `low`.
ACFD_HOST_DEVICE float clamp_or_low(float value, float low, float high) {
  return value > low ? (value < high ? value : high) : low;
}

// e^x for x in [kLogRatioMin, kLogRatioMax], within 2 ulp.
//
// x = n ln 2 + r with |r| <= ln 2 / 2; e^r by its Taylor polynomial of degree 7, whose truncation error
// is below half an ulp there. ln 2 is taken in two parts, the first short enough for n * kLn2High to be
// exact.
ACFD_HOST_DEVICE float exp_bounded(float x) {
  constexpr float kLog2E = 1.44269504f;
  constexpr float kLn2High = 0.693359375f;
  constexpr float kLn2Low = -2.12194440e-4f;
  constexpr float kRoundingShift = 12582912.0f;  // 1.5 * 2^23: adding it leaves no fraction bits
  const float n = (x * kLog2E + kRoundingShift) - kRoundingShift;
  const float r = (x - n * kLn2High) - n * kLn2Low;
  float p = 1.0f / 5040.0f;
  p = p * r + 1.0f / 720.0f;
  p = p * r + 1.0f / 120.0f;
  p = p * r + 1.0f / 24.0f;
  p = p * r + 1.0f / 6.0f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  return p * float_of(static_cast<unsigned>(static_cast<int>(n) + 127) << 23);
}

// Side of a box whose anchor has side `side`.
ACFD_HOST_DEVICE float decode_side(float side, float delta, float variance) {
  return side * exp_bounded(clamp_or_low(delta * variance, kLogRatioMin, kLogRatioMax));
}

// The box that `delta` [dx, dy, dw, dh] and `anchor` give, clipped to the content.
// A NaN delta gives a box without width (or height) on the border, never a NaN.
ACFD_HOST_DEVICE Box decode_box(Anchor anchor, const float* delta, Variances variances, float content_width,
                                float content_height) {
  const float x = anchor.x + (delta[0] * variances.centre) * anchor.side;
  const float y = anchor.y + (delta[1] * variances.centre) * anchor.side;
  const float half_width = decode_side(anchor.side, delta[2], variances.size) * 0.5f;
  const float half_height = decode_side(anchor.side, delta[3], variances.size) * 0.5f;
  return {clamp_or_low(x - half_width, 0.0f, content_width), clamp_or_low(y - half_height, 0.0f, content_height),
          clamp_or_low(x + half_width, 0.0f, content_width), clamp_or_low(y + half_height, 0.0f, content_height)};
}

// A key that increases as the score decreases: sorting by it (ties by index) puts the best first.
// +0 and -0 are equal; NaN comes last.
ACFD_HOST_DEVICE unsigned falling_key(float score) {
  if (score != score) return 0xFFFFFFFFu;
  const unsigned bits = bits_of(score + 0.0f);  // -0 + 0 = +0
  return (bits & 0x80000000u) != 0 ? bits : ~(bits | 0x80000000u);
}

// False for boxes that overlap nothing: without width or height, inverted, or NaN.
ACFD_HOST_DEVICE bool has_area(Box box) { return box.x2 - box.x1 > 0.0f && box.y2 - box.y1 > 0.0f; }

ACFD_HOST_DEVICE float area(Box box) { return (box.x2 - box.x1) * (box.y2 - box.y1); }

// Whether IoU is strictly above `threshold`, for two boxes that have area. It avoids a division:
// a quotient may round onto the threshold, and devices differ in how they divide.
ACFD_HOST_DEVICE bool overlaps_above(Box a, float area_a, Box b, float area_b, float threshold) {
  const float width = larger(smaller(a.x2, b.x2) - larger(a.x1, b.x1), 0.0f);
  const float height = larger(smaller(a.y2, b.y2) - larger(a.y1, b.y1), 0.0f);
  const float shared = width * height;
  return shared > threshold * ((area_a + area_b) - shared);
}

}  // namespace acfd
