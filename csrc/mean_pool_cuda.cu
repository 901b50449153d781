// mean_pool on the device: one thread per block of samples. Neighbouring threads read neighbouring blocks, so memory
// is read in whole sectors, and each sample once.

#include "mean_pool.h"

namespace acfd {

__device__ __forceinline__ unsigned sample_of(const unsigned char* row, int index, int bit_depth) {
  return bit_depth == 8 ? row[index] : reinterpret_cast<const unsigned short*>(row)[index];
}

}  // namespace acfd

// Channel blockIdx.z, row of blocks blockIdx.y; out is [channels, rows of blocks, columns of blocks].
extern "C" __global__ void __launch_bounds__(256)
    mean_pool(const unsigned char* plane, int row_bytes, int height, int width, int channels, int bit_depth, int block,
              short* out) {
  const int columns = (width + block - 1) / block, rows = (height + block - 1) / block;
  const int column = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x), row = static_cast<int>(blockIdx.y);
  const int channel = static_cast<int>(blockIdx.z);
  if (column >= columns) return;
  const int bottom = acfd::smaller((row + 1) * block, height), right = acfd::smaller((column + 1) * block, width);
  unsigned sum = 0;
  for (int y = row * block; y < bottom; ++y) {
    const unsigned char* samples = plane + static_cast<long long>(y) * row_bytes;
    for (int x = column * block; x < right; ++x) sum += acfd::sample_of(samples, x * channels + channel, bit_depth);
  }
  const int count = (bottom - row * block) * (right - column * block);
  out[(static_cast<long long>(channel) * rows + row) * columns + column] = acfd::round_mean(sum, count, bit_depth);
}
