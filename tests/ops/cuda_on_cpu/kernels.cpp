// The kernels of csrc as a library that Python loads: the sources that a GPU gets, without a change.

#include "run.h"
// clang-format off
#include "decode_anchors_cuda.cu"
#include "letterbox_cuda.cu"
#include "mean_pool_cuda.cu"
#include "nms_cuda.cu"
// clang-format on

on_cpu::Index threadIdx, blockIdx, blockDim;

namespace {

using on_cpu::Index;

// Kernels that a GPU must not get: what the runs of this folder have to notice.
void forgets_a_barrier(int* out) {
  __shared__ int values[64];
  values[threadIdx.x] = static_cast<int>(threadIdx.x);
  out[threadIdx.x] = values[63 - threadIdx.x];
}

void leaves_a_barrier_early(int*) {
  if (threadIdx.x != 5) __syncthreads();
}

void writes_behind_the_end(int* out) {
  if (threadIdx.x == 0) out[64] = 1;
}

struct Kernel {
  const char* name;
  std::string parameters;  // a letter each: pointer, int, float
  std::function<void(void**)> call;
};

template <typename T>
char letter_of() {
  if (std::is_pointer_v<T>) return 'p';
  if (std::is_same_v<T, int>) return 'i';
  return std::is_same_v<T, float> ? 'f' : '?';
}

template <typename... Parameters>
Kernel kernel_of(const char* name, void (*kernel)(Parameters...)) {
  return {name, {letter_of<Parameters>()...}, [kernel](void** arguments) { on_cpu::call(kernel, arguments); }};
}

const std::vector<Kernel>& kernels() {
  static const std::vector<Kernel> all{
      kernel_of("letterbox", letterbox),
      kernel_of("letterbox_taps", letterbox_taps),
      kernel_of("mean_pool", mean_pool),
      kernel_of("decode_anchors", decode_anchors),
      kernel_of("nms", nms),
      kernel_of("forgets_a_barrier", forgets_a_barrier),
      kernel_of("leaves_a_barrier_early", leaves_a_barrier_early),
      kernel_of("writes_behind_the_end", writes_behind_the_end),
  };
  return all;
}

const Kernel* find(const char* name) {
  for (const Kernel& kernel : kernels()) {
    if (std::strcmp(kernel.name, name) == 0) return &kernel;
  }
  return nullptr;
}

void launch(const Kernel& kernel, Index grid, unsigned threads, unsigned shared_bytes, void** arguments,
            on_cpu::Random& random) {
  std::vector<Index> blocks;
  for (unsigned z = 0; z < grid.z; ++z) {
    for (unsigned y = 0; y < grid.y; ++y) {
      for (unsigned x = 0; x < grid.x; ++x) blocks.push_back({x, y, z});
    }
  }
  random.shuffle(blocks);
  const std::function<void()> body = [&] { kernel.call(arguments); };
  blockDim = {threads, 1, 1};
  for (const Index& block : blocks) {
    blockIdx = block;
    on_cpu::Block::current().run(threads, shared_bytes, random, body);
  }
}

}  // namespace

// The parameters of a kernel, or null if there is no such.
extern "C" const char* acfd_parameters(const char* name) {
  const Kernel* kernel = find(name);
  return kernel == nullptr ? nullptr : kernel->parameters.c_str();
}

// Null, or what went wrong.
extern "C" const char* acfd_launch(const char* name, const unsigned* grid, unsigned threads, unsigned shared_bytes,
                                   void** arguments, unsigned seed) {
  static std::string failure;
  try {
    on_cpu::Random random{0x9E3779B97F4A7C15ull ^ (std::uint64_t{seed} + 1) * 0xD1B54A32D192ED03ull};
    launch(*find(name), {grid[0], grid[1], grid[2]}, threads, shared_bytes, arguments, random);
    return nullptr;
  } catch (const std::exception& error) {
    failure = error.what();
    return failure.c_str();
  }
}

#define ACFD_OFFSET(Record, field) static_cast<int>(offsetof(acfd::Record, field))

// Offsets of the fields that come last, or behind a gap, where a record of another layout would differ.
extern "C" int acfd_offset(int which) {
  const int offsets[] = {
      ACFD_OFFSET(AxisTaps, samples),
      ACFD_OFFSET(LetterboxPicture, tone),
      ACFD_OFFSET(LetterboxPicture, row_bytes),
      ACFD_OFFSET(LetterboxPicture, rows),
      ACFD_OFFSET(LetterboxPicture, columns),
      ACFD_OFFSET(LetterboxPicture, layout),
      ACFD_OFFSET(LetterboxPicture, color),
      ACFD_OFFSET(NetworkTensor, channel_step),
      ACFD_OFFSET(NetworkTensor, element_bytes),
      ACFD_OFFSET(NetworkTensor, pad),
      ACFD_OFFSET(AnchorLevel, width),
      ACFD_OFFSET(ViewPlacement, ratio_x),
      ACFD_OFFSET(ViewPlacement, display_height),
      ACFD_OFFSET(CandidateCount, passed),
      ACFD_OFFSET(FaceCount, cut_score),
      ACFD_OFFSET(FaceRow, index),
  };
  return which < static_cast<int>(sizeof offsets / sizeof offsets[0]) ? offsets[which] : -1;
}
