#include <algorithm>

#include "ops_cpu.h"

// One row of cells at a time: sums products over its rows column by column, then over the columns of each cell.

namespace acfd {
namespace {

constexpr int kRun = 512;  // columns whose sums fit in L1; a multiple of the cell

struct ColumnSums {
  int a[kRun], b[kRun], aa[kRun], ab[kRun], bb[kRun];  // four products of 14-bit samples need 30 bits
};

// Row by row, so that neighbouring columns vectorise.
ACFD_MULTIVERSION void add_columns(const short* before, const short* after, int width, int rows, int count,
                                   ColumnSums* sums) {
  *sums = {};
  for (int row = 0; row < rows; ++row) {
    const short* x = before + static_cast<std::ptrdiff_t>(row) * width;
    const short* y = after + static_cast<std::ptrdiff_t>(row) * width;
    for (int i = 0; i < count; ++i) {
      sums->a[i] += x[i];
      sums->b[i] += y[i];
      sums->aa[i] += x[i] * x[i];
      sums->ab[i] += x[i] * y[i];
      sums->bb[i] += y[i] * y[i];
    }
  }
}

void add_up(const int* columns, int count, std::int64_t* out) {
  for (int begin = 0; begin < count; begin += kCellSide) {
    std::int64_t sum = 0;
    for (int i = begin; i < std::min(begin + kCellSide, count); ++i) sum += columns[i];
    *out++ = sum;
  }
}

}  // namespace

void cell_moments_cpu(const short* before, const short* after, Size size, std::int64_t* out) {
  const int down = (size.height + kCellSide - 1) / kCellSide, across = (size.width + kCellSide - 1) / kCellSide;
  const std::ptrdiff_t cells = static_cast<std::ptrdiff_t>(down) * across;
  ColumnSums sums;
  for (int cell_row = 0; cell_row < down; ++cell_row) {
    const int top = cell_row * kCellSide, rows = std::min(kCellSide, size.height - top);
    for (int left = 0; left < size.width; left += kRun) {
      const int count = std::min(kRun, size.width - left);
      const std::ptrdiff_t start = static_cast<std::ptrdiff_t>(top) * size.width + left;
      add_columns(before + start, after + start, size.width, rows, count, &sums);
      std::int64_t* target = out + static_cast<std::ptrdiff_t>(cell_row) * across + left / kCellSide;
      for (const int* columns : {sums.a, sums.b, sums.aa, sums.ab, sums.bb}) {
        add_up(columns, count, target);
        target += cells;
      }
    }
  }
}

}  // namespace acfd
