// Input and output records of the kernels, per picture, with a fixed layout.
//
// acfd_stream/ops/cuda/records.py defines the same records; a test compares the layouts.
#pragma once

#include "box_math.h"
#include "preprocess.h"
#include "tone_map.h"

namespace acfd {

// Weights of one axis: tap t of output i is weights[t * tap_step + i * output_step], for sample first[i] + t. Taps
// outside the triangle have weight zero. A tap has no sample only if there are fewer samples than taps.
struct AxisTaps {
  const int* first;
  const short* weights;
  int taps;  // even
  int tap_step, output_step;
  int samples;
};

enum class PixelLayout : int { kYuv420p, kNv12, kRgb24 };

// A picture and its destination. Rows and columns are those before rotation.
struct LetterboxPicture {
  const unsigned char* planes[3];
  const ToneTable* tone;  // null: SDR of BT.709
  int row_bytes[3];       // row stride in bytes, may be negative
  int unused;
  AxisTaps rows[2], columns[2];       // of the first plane, of the others
  int content_height, content_width;  // before rotation
  PixelLayout layout;
  int bit_depth;  // 8: bytes, more: 16-bit words
  int rotation;   // degrees clockwise: 0, 90, 180, 270
  ColorTransform color;
};

// The tensor that the network reads; steps in elements.
struct NetworkTensor {
  long long picture_step;
  int row_step, column_step, channel_step;
  int height, width;
  int element_bytes;  // 1, 2 or 4
  int pad[3];         // levels 0 … 255
  int unused;
};

// Maps boxes of one view of a picture to the display. Without content: the batch has no such picture.
struct ViewPlacement {
  float content_width, content_height;  // network pixels
  float ratio_x, ratio_y;               // display pixels per network pixel
  float display_width, display_height;
};

ACFD_HOST_DEVICE Box to_display(Box box, const ViewPlacement& view) {
  return {clamp_or_low(box.x1 * view.ratio_x, 0.0f, view.display_width),
          clamp_or_low(box.y1 * view.ratio_y, 0.0f, view.display_height),
          clamp_or_low(box.x2 * view.ratio_x, 0.0f, view.display_width),
          clamp_or_low(box.y2 * view.ratio_y, 0.0f, view.display_height)};
}

// Counts that decode_anchors writes per view, next to its candidates.
struct CandidateCount {
  int kept;    // candidates, best first
  int passed;  // anchors that passed the threshold
};

// Result of nms per picture: this record, then `count` kept boxes, best first.
struct FaceCount {
  int count;
  int is_truncated;  // a limit removed candidates
  float cut_score;   // highest score that a limit removed
  int unused;
};

struct FaceRow {
  Box box;
  float score;
  int index;  // position among the picture's candidates
};

static_assert(sizeof(AxisTaps) == 32 && sizeof(LetterboxPicture) == 224 && sizeof(NetworkTensor) == 48);
static_assert(sizeof(AnchorLevel) == 16 && sizeof(ViewPlacement) == 24 && sizeof(CandidateCount) == 8);
static_assert(sizeof(FaceCount) == 16 && sizeof(FaceRow) == 24);

}  // namespace acfd
