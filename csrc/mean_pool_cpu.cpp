#include <algorithm>
#include <cstring>

#include "mean_pool.h"
#include "ops_cpu.h"

// One row of blocks at a time: sums its rows column by column, then the columns of each block.

namespace acfd {
namespace {

template <typename Sample>
ACFD_ALWAYS_INLINE void add_rows_of(const unsigned char* data, std::ptrdiff_t row_bytes, int rows, int count,
                                    unsigned* sums) {
  const auto* first = reinterpret_cast<const Sample*>(data);
  for (int i = 0; i < count; ++i) sums[i] = first[i];
  for (int row = 1; row < rows; ++row) {
    const auto* next = reinterpret_cast<const Sample*>(data + row * row_bytes);
    for (int i = 0; i < count; ++i) sums[i] += next[i];
  }
}

ACFD_MULTIVERSION void add_rows_8(const unsigned char* data, std::ptrdiff_t row_bytes, int rows, int count,
                                  unsigned* sums) {
  add_rows_of<std::uint8_t>(data, row_bytes, rows, count, sums);
}

ACFD_MULTIVERSION void add_rows_16(const unsigned char* data, std::ptrdiff_t row_bytes, int rows, int count,
                                   unsigned* sums) {
  add_rows_of<std::uint16_t>(data, row_bytes, rows, count, sums);
}

// Columns whose sums stay in L1; a multiple of every block size.
constexpr int kRun = 1024;

// Adds neighbouring pairs, which halves `count` sums. Two 16-bit sums are read as one 32-bit word; their order does not
// matter to the sum. Nothing overflows, because 256 bytes add up to less than 2^16.
ACFD_ALWAYS_INLINE void add_neighbours(std::uint16_t* sums, int count) {
  for (int i = 0; i < count / 2; ++i) {
    std::uint32_t pair;
    std::memcpy(&pair, sums + 2 * i, sizeof pair);
    sums[i] = static_cast<std::uint16_t>(pair + (pair >> 16));
  }
}

// Whole blocks of 2, 4 or 8 bytes per side, which covers nearly every video.
template <int kBlock>
ACFD_ALWAYS_INLINE void pool_bytes(const unsigned char* data, std::ptrdiff_t row_bytes, int blocks, short* out) {
  constexpr int kShift = kBlock == 2 ? 4 : kBlock == 4 ? 2 : 0;  // from the sum of a block of bytes to a 14-bit sample
  std::uint16_t sums[kRun];
  for (int begin = 0; begin < kBlock * blocks; begin += kRun) {
    const int count = std::min(kRun, kBlock * blocks - begin);
    for (int i = 0; i < count; ++i) {
      unsigned sum = 0;
      for (int row = 0; row < kBlock; ++row) sum += data[row * row_bytes + begin + i];
      sums[i] = static_cast<std::uint16_t>(sum);
    }
    for (int left = count; left > count / kBlock; left /= 2) add_neighbours(sums, left);
    for (int i = 0; i < count / kBlock; ++i) out[begin / kBlock + i] = static_cast<short>(sums[i] << kShift);
  }
}

ACFD_MULTIVERSION void pool_bytes_2(const unsigned char* data, std::ptrdiff_t row_bytes, int blocks, short* out) {
  pool_bytes<2>(data, row_bytes, blocks, out);
}

ACFD_MULTIVERSION void pool_bytes_4(const unsigned char* data, std::ptrdiff_t row_bytes, int blocks, short* out) {
  pool_bytes<4>(data, row_bytes, blocks, out);
}

ACFD_MULTIVERSION void pool_bytes_8(const unsigned char* data, std::ptrdiff_t row_bytes, int blocks, short* out) {
  pool_bytes<8>(data, row_bytes, blocks, out);
}

// The function that pools a row of whole blocks of this job at once; null if there is none.
auto quick_way(const PoolJob& job) -> decltype(&pool_bytes_2) {
  if (job.bit_depth != 8 || job.channels != 1) return nullptr;
  return job.block == 2 ? pool_bytes_2 : job.block == 4 ? pool_bytes_4 : job.block == 8 ? pool_bytes_8 : nullptr;
}

// out[i] = mean of block i of `channel`; `sums` contains the columns of all channels.
void pool_columns(const unsigned* sums, int width, int channel, int rows, const PoolJob& job, short* out) {
  for (int begin = 0; begin < width; begin += job.block) {
    const int end = std::min(begin + job.block, width);
    unsigned sum = 0;
    for (int column = begin; column < end; ++column) sum += sums[column * job.channels + channel];
    *out++ = round_mean(sum, rows * (end - begin), job.bit_depth);
  }
}

}  // namespace

void mean_pool_cpu(const PoolJob& job, short* const* outs) {
  const auto add = job.bit_depth == 8 ? add_rows_8 : add_rows_16;
  const auto quick = quick_way(job);
  const int columns = (job.size.width + job.block - 1) / job.block, whole = job.size.width / job.block;
  const std::ptrdiff_t sample_bytes = job.bit_depth == 8 ? 1 : 2;
  std::vector<unsigned> sums(static_cast<std::size_t>(job.size.width) * job.channels);
  for (int top = 0, row = 0; top < job.size.height; top += job.block, ++row) {
    const unsigned char* data = job.plane.data + top * job.plane.row_bytes;
    const int rows = std::min(job.block, job.size.height - top);
    const std::size_t place = static_cast<std::size_t>(row) * columns;
    const int done = quick != nullptr && rows == job.block ? whole : 0;
    if (done > 0) quick(data, job.plane.row_bytes, done, outs[0] + place);
    if (done == columns) continue;
    const int left = done * job.block, width = job.size.width - left;
    add(data + left * job.channels * sample_bytes, job.plane.row_bytes, rows, width * job.channels, sums.data());
    for (int channel = 0; channel < job.channels; ++channel) {
      pool_columns(sums.data(), width, channel, rows, job, outs[channel] + place + done);
    }
  }
}

}  // namespace acfd
