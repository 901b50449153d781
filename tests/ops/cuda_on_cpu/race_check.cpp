// A few small launches of every kernel under ThreadSanitizer; it makes the program fail where threads of a block touch
// the same memory with no barrier in between. With an argument it runs a kernel that does.

#include <algorithm>
#include <cstdio>

#include "race.h"
// clang-format off
#include "decode_anchors_cuda.cu"
#include "letterbox_cuda.cu"
#include "nms_cuda.cu"
// clang-format on

thread_local on_cpu::Index threadIdx;
on_cpu::Index blockIdx, blockDim;

namespace {

using namespace acfd;

constexpr unsigned kThreads = 64;

void check(bool is_equal, const char* what) {
  if (is_equal) return;
  std::fprintf(stderr, "%s: not what it should be\n", what);
  std::exit(2);
}

// A GPU must not get this: neighbours read what has not been waited for.
void forgets_a_barrier(int* out) {
  __shared__ int values[kThreads];
  values[threadIdx.x] = static_cast<int>(threadIdx.x);
  out[threadIdx.x] = values[kThreads - 1 - threadIdx.x];
}

void run_planted(on_cpu::Random& random) {
  std::vector<int> out(kThreads);
  on_cpu::run_block({}, kThreads, 0, random, [&] { forgets_a_barrier(out.data()); });
}

struct Decoded {
  std::vector<Box> boxes;
  std::vector<float> scores;
  CandidateCount count{};
};

// All 400 anchors of two levels pass; `candidates` says whether there is room for them.
Decoded run_decode(int candidates, int slots, on_cpu::Random& random) {
  const AnchorLevel levels[] = {{8, 32.0f, 16, 20}, {16, 64.0f, 8, 10}};
  const int anchors = 16 * 20 + 8 * 10;
  std::vector<float> scores(anchors), deltas(anchors * 4);
  for (float& score : scores) score = static_cast<float>(random.below(50)) / 50.0f;  // with ties
  for (float& delta : deltas) delta = static_cast<float>(random.below(2000)) / 500.0f - 2.0f;
  const ViewPlacement view{160.0f, 120.0f, 1.0f, 1.0f, 160.0f, 120.0f};
  Decoded out{std::vector<Box>(candidates), std::vector<float>(candidates)};
  std::vector<int> indices(candidates);
  on_cpu::run_block({}, kThreads, static_cast<unsigned>(slots * sizeof(Rank)), random, [&] {
    decode_anchors(scores.data(), deltas.data(), levels, &view, anchors, 0, 1, 0.1f, 0.2f, 0.0f, candidates, slots,
                   nullptr, out.boxes.data(), out.scores.data(), indices.data(), &out.count);
  });
  check(out.count.passed == anchors && out.count.kept == std::min(anchors, candidates), "decode_anchors");
  return out;
}

void run_nms(const Decoded& found, int slots, int faces, on_cpu::Random& random) {
  const int total = found.count.kept;
  const CandidateCount count{total, total};
  const int block_bytes = static_cast<int>((slots * sizeof(Rank) + (faces + 1) * sizeof(KeptBox) + 7) / 8 * 8);
  const int result_bytes = static_cast<int>(sizeof(FaceCount) + faces * sizeof(FaceRow));
  std::vector<std::uint32_t> result(result_bytes / 4);
  auto* bytes = reinterpret_cast<unsigned char*>(result.data());
  on_cpu::run_block({}, kThreads, block_bytes, random, [&] {
    nms(found.boxes.data(), found.scores.data(), &count, 1, total, 0.4f, faces, slots, nullptr, block_bytes, bytes,
        result_bytes);
  });
  const int kept = reinterpret_cast<const FaceCount*>(bytes)->count;
  check(0 < kept && kept <= faces, "nms");
}

struct Filter {
  std::vector<int> first;
  std::vector<short> weights;
  AxisTaps taps;

  Filter(int length, int subsampling, int outputs, bool is_across, on_cpu::Random& random) {
    const int pitch = outputs * subsampling, most = (2 * std::max(length, pitch) + pitch - 1) / pitch;
    const int count = most + most % 2, tap_step = is_across ? outputs : 1, output_step = is_across ? 1 : count;
    first.resize(outputs);
    weights.resize(static_cast<std::size_t>(outputs) * count);
    on_cpu::run_block({}, kTileThreads, 0, random, [&] {
      letterbox_taps(length, subsampling, outputs, count, tap_step, output_step, first.data(), weights.data());
    });
    taps = {first.data(), weights.data(), count, tap_step, output_step, (length + subsampling - 1) / subsampling};
  }
};

// An NV12 picture, so wide that the content's 24 columns take more than one strip.
void run_letterbox(on_cpu::Random& random) {
  const int height = 21, width = 1300, content_height = 18, content_width = 24, side = 32;
  const std::vector<unsigned char> luma(height * width, 235), chroma((height + 1) / 2 * width, 128);
  const Filter rows[2] = {{height, 1, content_height, false, random}, {height, 2, content_height, false, random}};
  const Filter columns[2] = {{width, 1, content_width, true, random}, {width, 2, content_width, true, random}};
  LetterboxPicture picture{};
  picture.planes[0] = luma.data();
  picture.planes[1] = chroma.data();
  for (int k = 0; k < 2; ++k) {
    picture.row_bytes[k] = width;
    picture.rows[k] = rows[k].taps;
    picture.columns[k] = columns[k].taps;
  }
  picture.content_height = content_height;
  picture.content_width = content_width;
  picture.layout = PixelLayout::kNv12;
  picture.bit_depth = 8;
  picture.color = color_transform(2126, 722, false, 8);
  const NetworkTensor tensor{3 * side * side, 3 * side, 3, 1, side, side, 1, {0, 0, 0}, 0};
  std::vector<unsigned> levels(3 * kLevels);
  for (int k = 0; k < 3 * kLevels; ++k) levels[k] = k % kLevels;
  std::vector<unsigned char> image(side * side * 3);
  for (unsigned y = 0; y * kTileHeight < side; ++y) {
    on_cpu::run_block({0, y, 0}, kTileThreads, 0, random,
                      [&] { letterbox(&picture, &tensor, levels.data(), image.data()); });
  }
  check(image[0] == 255 && image[3 * content_width] == 0, "letterbox");
}

}  // namespace

int main(int count, char**) {
  on_cpu::Random random{0x853C49E6748FEA9Bull};
  if (count > 1) {
    run_planted(random);
    return 0;
  }
  run_decode(512, 512, random);
  const Decoded found = run_decode(60, 64, random);
  run_nms(found, 64, 60, random);
  run_nms(found, 64, 5, random);
  run_letterbox(random);
  return 0;
}
