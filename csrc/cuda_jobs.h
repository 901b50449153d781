// What the host tells the kernels of each picture, and what they leave behind: plain records of fixed layout.
//
// acfd_stream/ops/cuda/records.py writes and reads the same records; a test compares the layouts.
#pragma once

#include "box_math.h"
#include "preprocess.h"

namespace acfd {

using Rank = unsigned long long;  // a score's falling key above an index: plain order of numbers is the law's order

// Weights of one axis: tap t of output i is weights[t * tap_step + i * output_step], for sample first[i] + t.
// Taps past the triangle weigh nothing, and may stand for samples that do not exist.
struct AxisTaps {
  const int* first;
  const short* weights;
  int taps;  // even
  int tap_step, output_step;
  int samples;
};

enum class PixelLayout : int { kYuv420p, kNv12, kRgb24 };

// A picture and where it goes. Rows and columns are those before rotation.
struct LetterboxPicture {
  const unsigned char* planes[3];
  long long row_bytes[3];             // from one row to the next, any sign
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
  int pad[3];
};

// How boxes of one view of a picture come to the display.
struct ViewPlacement {
  float content_width, content_height;  // network pixels
  float ratio_x, ratio_y;               // display pixels a network pixel
  float display_width, display_height;
};

// What decode_anchors leaves of a view beside its candidates.
struct CandidateCount {
  int kept;    // candidates, best first
  int passed;  // anchors that passed the threshold
};

// What nms leaves of a picture: this, then `count` kept boxes, best first.
struct FaceCount {
  int count;
  int is_truncated;  // a cap cut something off
  float cut_score;   // nothing that was cut off scores more
  int unused;
};

struct FaceRow {
  Box box;
  float score;
  int index;  // place among the picture's candidates
};

}  // namespace acfd
