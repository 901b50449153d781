// letterbox on the device: one launch resizes a batch of pictures into the network's tensor. Each sample is read from
// memory once and each element is written once.
//
// A block computes a tile of content. It sums the rows under the tile down their columns into a strip of 14-bit samples
// in shared memory, sums these along the rows, converts them to RGB and writes them to their rotated position.
// Neighbouring rows of a tile use the same source rows, which are in L1 by then; the strip makes the second sum cheap.
// A strip has a fixed size. If the picture is scaled down so far that a tile's samples do not fit, the block uses
// several strips.

#include "cuda_jobs.h"

namespace acfd {

// 16 rows keep the overlap of neighbouring tiles small; 64 columns make element writes fill whole sectors.
constexpr int kTileWidth = 64, kTileHeight = 16;
constexpr int kTileThreads = 256;
constexpr int kRowStep = kTileThreads / kTileWidth;  // a thread has pixels of one column, this far apart
constexpr int kPixels = kTileHeight / kRowStep;      // of a thread
constexpr int kStrip = 512;                          // samples of a strip's row: a tile of 1080p at 640 needs 200
constexpr int kGroup = 8;                            // samples that a thread sums down their columns at once
constexpr int kLevels = 256;

struct __align__(16) GroupOfSamples {
  short samples[kGroup];
};

struct Tile {
  int row, column;            // of the content before rotation
  int last_row, last_column;  // of the content; positions after them are clamped and not used
};

struct PlaneView {
  const unsigned char* data;
  int row_bytes;
  int width;  // samples of a row, of all channels
  int bit_depth;
  bool is_aligned;  // rows begin at multiples of eight bytes

  __device__ const unsigned char* row(int index) const { return data + index * row_bytes; }  // size checked by the host
};

// Two rows of four bytes, interleaved in pairs: one instruction multiplies a pair by its two weights and adds.
__device__ __forceinline__ void add_rows(unsigned upper, unsigned lower, unsigned weights, unsigned* sums) {
  const unsigned left = __byte_perm(upper, lower, 0x5140), right = __byte_perm(upper, lower, 0x7362);
  sums[0] = __dp2a_lo(weights, left, sums[0]);
  sums[1] = __dp2a_hi(weights, left, sums[1]);
  sums[2] = __dp2a_lo(weights, right, sums[2]);
  sums[3] = __dp2a_hi(weights, right, sums[3]);
}

// Adds kTaps rows, an even number, of kGroup bytes each; all loads are issued before the first is used.
template <int kTaps>
__device__ __forceinline__ void add_taps(const unsigned char* top, int row_bytes, const unsigned* pairs,
                                         unsigned* sums) {
  unsigned long long rows[kTaps];
#pragma unroll
  for (int t = 0; t < kTaps; ++t) {
    rows[t] = __ldg(reinterpret_cast<const unsigned long long*>(top + static_cast<long long>(row_bytes) * t));
  }
#pragma unroll
  for (int t = 0; t < kTaps; t += 2) {
    const unsigned weights = __ldg(pairs + t / 2);
    add_rows(static_cast<unsigned>(rows[t]), static_cast<unsigned>(rows[t + 1]), weights, sums);
    add_rows(static_cast<unsigned>(rows[t] >> 32), static_cast<unsigned>(rows[t + 1] >> 32), weights, sums + 4);
  }
}

// Sums down kGroup neighbouring columns under output row `output`, for an aligned group. From 1080p to 640, luma has
// six source rows and chroma four; scales down to a half have fewer, and larger ones continue in pairs.
__device__ __forceinline__ void sum_group(const PlaneView& plane, const AxisTaps& taps, int output, int at,
                                          const unsigned char*, unsigned* sums) {
  const unsigned char* top = plane.row(__ldg(taps.first + output)) + at;
  const auto* pairs = reinterpret_cast<const unsigned*>(taps.weights + output * taps.output_step);
  if (taps.taps == 6) return add_taps<6>(top, plane.row_bytes, pairs, sums);
  if (taps.taps == 4) return add_taps<4>(top, plane.row_bytes, pairs, sums);
#pragma unroll 2
  for (int t = 0; t < taps.taps; t += 2) add_taps<2>(top + t * plane.row_bytes, plane.row_bytes, pairs + t / 2, sums);
}

// The same for 16-bit samples, for which there is no instruction on pairs.
__device__ __forceinline__ void sum_group(const PlaneView& plane, const AxisTaps& taps, int output, int at,
                                          const unsigned short*, unsigned* sums) {
  const unsigned char* top = plane.row(__ldg(taps.first + output)) + 2 * at;
  const short* weights = taps.weights + output * taps.output_step;
#pragma unroll 2
  for (int t = 0; t < taps.taps; ++t) {
    const auto* row = reinterpret_cast<const unsigned long long*>(top + t * plane.row_bytes);
    const unsigned long long halves[2] = {__ldg(row), __ldg(row + 1)};
    const auto weight = static_cast<unsigned>(__ldg(weights + t));
#pragma unroll
    for (int k = 0; k < kGroup; ++k) sums[k] += weight * static_cast<unsigned short>(halves[k / 4] >> (16 * (k % 4)));
  }
}

// The same sample by sample: for the end of a row, for pictures with unaligned rows, and for pictures with fewer rows
// than the filter has taps.
template <typename Sample>
__device__ __forceinline__ void sum_samples(const PlaneView& plane, const AxisTaps& taps, int output, int at,
                                            unsigned* sums) {
  const int first = __ldg(taps.first + output), last = taps.samples - 1;
#pragma unroll 1
  for (int t = 0; t < taps.taps; ++t) {
    const auto* row = reinterpret_cast<const Sample*>(plane.row(smaller(first + t, last)));
    const auto weight = static_cast<unsigned>(__ldg(taps.weights + output * taps.output_step + t));
#pragma unroll
    for (int k = 0; k < kGroup; ++k) sums[k] += weight * __ldg(row + smaller(at + k, plane.width - 1));
  }
}

// Samples begin … end - 1 of the strip. A warp processes one row: its threads read neighbouring samples with equal
// weights.
template <typename Sample>
__device__ __forceinline__ void fill_strip(const PlaneView& plane, const AxisTaps& taps, const Tile& tile, int begin,
                                           int end, short* strip) {
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const bool is_quick = plane.is_aligned && taps.taps <= taps.samples;
#pragma unroll 1
  for (int row = warp; row < kTileHeight; row += kTileThreads / 32) {
    const int output = smaller(tile.row + row, tile.last_row);
#pragma unroll 1
    for (int at = begin + kGroup * lane; at < end; at += kGroup * 32) {
      unsigned sums[kGroup] = {};
      if (is_quick && at + kGroup <= plane.width) {
        sum_group(plane, taps, output, at, static_cast<const Sample*>(nullptr), sums);
      } else {
        sum_samples<Sample>(plane, taps, output, at, sums);
      }
      GroupOfSamples group;
#pragma unroll
      for (int k = 0; k < kGroup; ++k) group.samples[k] = round_column(static_cast<int>(sums[k]), plane.bit_depth);
      *reinterpret_cast<GroupOfSamples*>(strip + row * kStrip + at - begin) = group;
    }
  }
}

// 14-bit samples of one plane for the pixels of this thread, in samples[pixel][first_channel …].
template <typename Sample, int kChannels>
__device__ __forceinline__ void sample_plane(const PlaneView plane, const AxisTaps rows, const AxisTaps columns,
                                             const Tile tile, short* strip, int (&samples)[kPixels][kChannels]) {
  constexpr int kPositions = kStrip / kChannels / kGroup * kGroup;
  const int column = smaller(tile.column + static_cast<int>(threadIdx.x) % kTileWidth, tile.last_column);
  const int own_first = __ldg(columns.first + column);
  const int tile_end = smaller(tile.column + kTileWidth - 1, tile.last_column);
  const int end = smaller(columns.first[tile_end] + columns.taps, columns.samples);
  int sums[kPixels][kChannels] = {};
  // A strip begins at a multiple of kGroup, so that reads are aligned where rows are.
  for (int begin = columns.first[tile.column] / kGroup * kGroup; begin < end; begin += kPositions) {
    const int strip_end = smaller(begin + kPositions, end);
    __syncthreads();  // the previous strip has been read
    fill_strip<Sample>(plane, rows, tile, begin * kChannels, strip_end * kChannels, strip);
    __syncthreads();
    const int first_tap = larger(begin - own_first, 0), end_tap = smaller(strip_end - own_first, columns.taps);
    const short* weight = columns.weights + first_tap * columns.tap_step + column * columns.output_step;
    const short* sample = strip + static_cast<int>(threadIdx.x) / kTileWidth * kStrip;
    sample += (own_first + first_tap - begin) * kChannels;
#pragma unroll 1
    for (int left = end_tap - first_tap; left > 0; --left) {
      const int own_weight = __ldg(weight);
#pragma unroll
      for (int pixel = 0; pixel < kPixels; ++pixel) {
#pragma unroll
        for (int c = 0; c < kChannels; ++c) sums[pixel][c] += own_weight * sample[pixel * kRowStep * kStrip + c];
      }
      weight += columns.tap_step;
      sample += kChannels;
    }
  }
#pragma unroll
  for (int pixel = 0; pixel < kPixels; ++pixel) {
#pragma unroll
    for (int c = 0; c < kChannels; ++c) samples[pixel][c] = round_row(sums[pixel][c]);
  }
}

__device__ __forceinline__ PlaneView view_of(const LetterboxPicture& picture, int plane, int width) {
  const auto address = reinterpret_cast<unsigned long long>(picture.planes[plane]);
  const auto steps = address | static_cast<unsigned>(picture.row_bytes[plane]);
  return {picture.planes[plane], picture.row_bytes[plane], width, picture.bit_depth, steps % 8 == 0};
}

__device__ __forceinline__ unsigned char level_of(const ToneTable& table, const float* gamut, float red, float green,
                                                  float blue) {
  return static_cast<unsigned char>(table.level[tone_bin(gamut[0] * red + gamut[1] * green + gamut[2] * blue)]);
}

__device__ __forceinline__ Rgb tone_mapped(const ToneTable& table, const RgbSums& sums) {
  float red = table.light[tone_code(sums.red)];
  float green = table.light[tone_code(sums.green)];
  float blue = table.light[tone_code(sums.blue)];
  const float* luminance = table.luminance;
  const float gain = table.gain[tone_bin(luminance[0] * red + luminance[1] * green + luminance[2] * blue)];
  red *= gain;
  green *= gain;
  blue *= gain;
  return {level_of(table, table.gamut, red, green, blue), level_of(table, table.gamut + 3, red, green, blue),
          level_of(table, table.gamut + 6, red, green, blue)};
}

// Without a table: SDR of BT.709, whose levels stay as they are.
__device__ __forceinline__ Rgb displayed(const ToneTable* table, const RgbSums& sums) {
  return table == nullptr ? to_rgb(sums) : tone_mapped(*table, sums);
}

// Red, green and blue in the low three bytes: a pixel to be written takes one register.
__device__ __forceinline__ unsigned packed(Rgb rgb) {
  return rgb.red | static_cast<unsigned>(rgb.green) << 8 | static_cast<unsigned>(rgb.blue) << 16;
}

// The pixels of this thread.
template <typename Sample>
__device__ __forceinline__ void sample_pixels(const LetterboxPicture& picture, const Tile& tile, short* strip,
                                              unsigned* pixels) {
  const AxisTaps *rows = picture.rows, *columns = picture.columns;
  if (picture.layout == PixelLayout::kRgb24) {
    int rgb[kPixels][3];
    sample_plane<Sample>(view_of(picture, 0, 3 * columns[0].samples), rows[0], columns[0], tile, strip, rgb);
#pragma unroll
    for (int p = 0; p < kPixels; ++p) {
      const int gain = picture.color.luma;
      pixels[p] = packed(displayed(picture.tone, {gain * rgb[p][0], gain * rgb[p][1], gain * rgb[p][2]}));
    }
    return;
  }
  int y[kPixels][1];
  sample_plane<Sample>(view_of(picture, 0, columns[0].samples), rows[0], columns[0], tile, strip, y);
  if (picture.layout == PixelLayout::kNv12) {
    int uv[kPixels][2];
    sample_plane<Sample>(view_of(picture, 1, 2 * columns[1].samples), rows[1], columns[1], tile, strip, uv);
#pragma unroll
    for (int p = 0; p < kPixels; ++p)
      pixels[p] = packed(displayed(picture.tone, to_sums(picture.color, y[p][0], uv[p][0], uv[p][1])));
    return;
  }
  int u[kPixels][1], v[kPixels][1];
  sample_plane<Sample>(view_of(picture, 1, columns[1].samples), rows[1], columns[1], tile, strip, u);
  sample_plane<Sample>(view_of(picture, 2, columns[1].samples), rows[1], columns[1], tile, strip, v);
#pragma unroll
  for (int p = 0; p < kPixels; ++p)
    pixels[p] = packed(displayed(picture.tone, to_sums(picture.color, y[p][0], u[p][0], v[p][0])));
}

// Maps (row, column) of the stored picture to the tensor: origin + row * down + column * across, in elements. Positions
// after the content map one to one onto the padding, with the same rotation.
struct Placement {
  int origin, down, across;

  __device__ Placement(const LetterboxPicture& picture, const NetworkTensor& tensor, bool is_content) {
    const bool is_on_side = picture.rotation == 90 || picture.rotation == 270;
    down = is_on_side ? tensor.column_step : tensor.row_step;
    across = is_on_side ? tensor.row_step : tensor.column_step;
    origin = 0;
    if (!is_content) return;
    if (picture.rotation == 90 || picture.rotation == 180) {  // the first row comes last
      origin += (picture.content_height - 1) * down;
      down = -down;
    }
    if (picture.rotation == 180 || picture.rotation == 270) {
      origin += (picture.content_width - 1) * across;
      across = -across;
    }
  }
};

// Writes the pixels of this thread, in elements of the size of Word. The kernel copies bits; a table holds the element
// for each level.
template <typename Word>
__device__ __forceinline__ void write_pixels(const LetterboxPicture& picture, const NetworkTensor& tensor,
                                             const Tile& tile, int height, int width, const unsigned* pixels,
                                             const unsigned* elements, void* images) {
  const int column = tile.column + static_cast<int>(threadIdx.x) % kTileWidth;
  const int first_row = tile.row + static_cast<int>(threadIdx.x) / kTileWidth;
  const Placement content(picture, tensor, true), padding(picture, tensor, false);
  Word* image = static_cast<Word*>(images) + blockIdx.z * tensor.picture_step;
#pragma unroll
  for (int p = 0; p < kPixels; ++p) {
    const int row = first_row + p * kRowStep;
    if (row >= height || column >= width) continue;
    const bool is_content = row <= tile.last_row && column <= tile.last_column;
    const Placement& placement = is_content ? content : padding;
    const int at = placement.origin + row * placement.down + column * placement.across;
#pragma unroll
    for (int c = 0; c < 3; ++c) {
      const unsigned level = is_content ? pixels[p] >> (8 * c) & 0xFF : static_cast<unsigned>(tensor.pad[c]);
      image[at + c * tensor.channel_step] = static_cast<Word>(elements[c * kLevels + level]);
    }
  }
}

}  // namespace acfd

// The filter of one axis, one thread per output; run once per picture size.
extern "C" __global__ void letterbox_taps(int length, int subsampling, int outputs, int taps, int tap_step,
                                          int output_step, int* first, short* weights) {
  const int output = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (output >= outputs) return;
  const acfd::Axis axis{length, subsampling, outputs};
  const acfd::Triangle triangle(axis, output);
  // At the end of the axis the taps of weight zero come first, so that every tap has a sample.
  const int begin = acfd::larger(acfd::smaller(triangle.first, axis.samples() - taps), 0);
  short* own = weights + output * output_step;
  first[output] = begin;
  for (int t = 0; t < taps; ++t) own[t * tap_step] = 0;
  triangle.weights(own + (triangle.first - begin) * tap_step, tap_step);
}

// Fills row blockIdx.z of the tensor with picture blockIdx.z. Four blocks share a multiprocessor. This uses half of its
// threads, each with many loads in flight; more threads would spill their sums to memory.
extern "C" __global__ void __launch_bounds__(256, 4)
    letterbox(const acfd::LetterboxPicture* pictures, const acfd::NetworkTensor* tensors,
              const unsigned* levels,  // [3, 256]: bits of the element for each level
              void* images) {
  using namespace acfd;
  __shared__ __align__(16) short strip[kTileHeight * kStrip];
  __shared__ unsigned elements[3 * kLevels];
  const LetterboxPicture& picture = pictures[blockIdx.z];
  const NetworkTensor& tensor = tensors[0];
  const bool is_on_side = picture.rotation == 90 || picture.rotation == 270;
  const int height = is_on_side ? tensor.width : tensor.height, width = is_on_side ? tensor.height : tensor.width;
  const Tile tile{static_cast<int>(blockIdx.y) * kTileHeight, static_cast<int>(blockIdx.x) * kTileWidth,
                  picture.content_height - 1, picture.content_width - 1};
  if (tile.row >= height || tile.column >= width) return;  // the grid is square for rotated pictures
  for (int k = static_cast<int>(threadIdx.x); k < 3 * kLevels; k += kTileThreads) elements[k] = levels[k];
  __syncthreads();

  unsigned pixels[kPixels] = {};
  if (tile.row <= tile.last_row && tile.column <= tile.last_column) {
    if (picture.bit_depth == 8) {
      sample_pixels<unsigned char>(picture, tile, strip, pixels);
    } else {
      sample_pixels<unsigned short>(picture, tile, strip, pixels);
    }
  }
  if (tensor.element_bytes == 2) {
    write_pixels<unsigned short>(picture, tensor, tile, height, width, pixels, elements, images);
  } else if (tensor.element_bytes == 4) {
    write_pixels<unsigned>(picture, tensor, tile, height, width, pixels, elements, images);
  } else {
    write_pixels<unsigned char>(picture, tensor, tile, height, width, pixels, elements, images);
  }
}
