// letterbox on the device: one launch brings a batch of pictures into the network's tensor, each sample read once
// from memory and each element written once.
//
// A block makes a tile of content. It sums the rows under the tile down their columns into a strip of 14-bit samples
// in shared memory, sums these along the rows, turns them into RGB and writes them where the picture's rotation puts
// them. Neighbouring rows of a tile want the same source rows, which are in L1 by then, and the strip is what makes the
// second sum cheap. A strip has a fixed size; a picture that is scaled down so far that a tile's samples do not fit
// goes through several.

#include "cuda_jobs.h"

namespace acfd {

// 16 rows keep small what neighbouring tiles read twice; 64 columns make whole sectors of the element writes.
constexpr int kTileWidth = 64, kTileHeight = 16;
constexpr int kTileThreads = 256;
constexpr int kRowStep = kTileThreads / kTileWidth;  // a thread has pixels of one column, this far apart
constexpr int kPixels = kTileHeight / kRowStep;      // of a thread
constexpr int kStrip = 512;                          // samples of a strip's row: a tile of 1080p at 640 needs 200
constexpr int kLevels = 256;

struct Tile {
  int row, column;            // of the content before rotation
  int last_row, last_column;  // of the content; what lies behind is sampled there and not used
};

struct PlaneView {
  const unsigned char* data;
  long long row_bytes;
  int width;  // samples of a row, of all channels
  int bit_depth;
  bool is_aligned;  // rows begin at multiples of four bytes
};

// Four neighbouring bytes; those behind the row are zero and not read.
__device__ __forceinline__ unsigned load_four(const PlaneView& plane, int row, int at) {
  const unsigned char* data = plane.data + row * plane.row_bytes + at;
  if (plane.is_aligned && at + 4 <= plane.width) return *reinterpret_cast<const unsigned*>(data);
  unsigned four = 0;
#pragma unroll 1
  for (int k = 0; k < 4 && at + k < plane.width; ++k) four |= static_cast<unsigned>(data[k]) << (8 * k);
  return four;
}

// Sums down four neighbouring columns under output row `output`. Two rows at a time: the bytes of both are put in
// pairs, and one instruction multiplies a pair with its two weights and adds.
__device__ __forceinline__ void sum_columns(const PlaneView& plane, const AxisTaps& taps, int output, int at,
                                            unsigned char, int* sums) {
  const int first = taps.first[output], last = taps.samples - 1;
  const unsigned* pairs = reinterpret_cast<const unsigned*>(taps.weights + output * taps.output_step);
#pragma unroll 2
  for (int t = 0; t < taps.taps; t += 2) {
    const unsigned upper = load_four(plane, smaller(first + t, last), at);
    const unsigned lower = load_four(plane, smaller(first + t + 1, last), at);
    const unsigned left = __byte_perm(upper, lower, 0x5140), right = __byte_perm(upper, lower, 0x7362);
    const unsigned pair = pairs[t / 2];
    sums[0] = static_cast<int>(__dp2a_lo(pair, left, static_cast<unsigned>(sums[0])));
    sums[1] = static_cast<int>(__dp2a_hi(pair, left, static_cast<unsigned>(sums[1])));
    sums[2] = static_cast<int>(__dp2a_lo(pair, right, static_cast<unsigned>(sums[2])));
    sums[3] = static_cast<int>(__dp2a_hi(pair, right, static_cast<unsigned>(sums[3])));
  }
}

// The same for 16-bit samples, which no such instruction takes.
__device__ __forceinline__ void sum_columns(const PlaneView& plane, const AxisTaps& taps, int output, int at,
                                            unsigned short, int* sums) {
  const int first = taps.first[output], last = taps.samples - 1;
  const short* weights = taps.weights + output * taps.output_step;
#pragma unroll 1
  for (int t = 0; t < taps.taps; ++t) {
    const auto* row = reinterpret_cast<const unsigned short*>(plane.data + smaller(first + t, last) * plane.row_bytes);
    const int weight = weights[t];
#pragma unroll
    for (int k = 0; k < 4; ++k) sums[k] += weight * row[smaller(at + k, plane.width - 1)];
  }
}

// Samples begin … end - 1 of the strip. A warp has a row: its threads read side by side, with the same weights.
template <typename Sample>
__device__ __forceinline__ void fill_strip(const PlaneView& plane, const AxisTaps& taps, const Tile& tile, int begin,
                                           int end, short* strip) {
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll 1
  for (int row = warp; row < kTileHeight; row += kTileThreads / 32) {
    const int output = smaller(tile.row + row, tile.last_row);
#pragma unroll 1
    for (int at = begin + 4 * lane; at < end; at += 4 * 32) {
      int sums[4] = {};
      sum_columns(plane, taps, output, at, Sample{}, sums);
      unsigned long long four = 0;
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        const auto sample = static_cast<unsigned short>(round_column(sums[k], plane.bit_depth));
        four |= static_cast<unsigned long long>(sample) << (16 * k);
      }
      *reinterpret_cast<unsigned long long*>(strip + row * kStrip + at - begin) = four;
    }
  }
}

// 14-bit samples of one plane for the pixels of this thread, in samples[pixel][first_channel …].
template <typename Sample, int kChannels>
__device__ __forceinline__ void sample_plane(const PlaneView& plane, const AxisTaps& rows, const AxisTaps& columns,
                                             const Tile& tile, short* strip, int (&samples)[kPixels][kChannels]) {
  constexpr int kPositions = kStrip / kChannels / 4 * 4;
  const int column = smaller(tile.column + static_cast<int>(threadIdx.x) % kTileWidth, tile.last_column);
  const int own_first = columns.first[column];
  const int tile_end = smaller(tile.column + kTileWidth - 1, tile.last_column);
  const int end = smaller(columns.first[tile_end] + columns.taps, columns.samples);
  int sums[kPixels][kChannels] = {};
  // A strip begins at a multiple of four, so that reads are aligned where rows are.
  for (int begin = columns.first[tile.column] / 4 * 4; begin < end; begin += kPositions) {
    const int strip_end = smaller(begin + kPositions, end);
    __syncthreads();  // the strip before this one has been read
    fill_strip<Sample>(plane, rows, tile, begin * kChannels, strip_end * kChannels, strip);
    __syncthreads();
    const int first_tap = larger(begin - own_first, 0), end_tap = smaller(strip_end - own_first, columns.taps);
    const short* row = strip + static_cast<int>(threadIdx.x) / kTileWidth * kStrip;
#pragma unroll 1
    for (int t = first_tap; t < end_tap; ++t) {
      const int weight = columns.weights[t * columns.tap_step + column * columns.output_step];
      const short* sample = row + (own_first + t - begin) * kChannels;
#pragma unroll
      for (int pixel = 0; pixel < kPixels; ++pixel) {
#pragma unroll
        for (int c = 0; c < kChannels; ++c) sums[pixel][c] += weight * sample[pixel * kRowStep * kStrip + c];
      }
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
  const auto steps = address | static_cast<unsigned long long>(picture.row_bytes[plane]);
  return {picture.planes[plane], picture.row_bytes[plane], width, picture.bit_depth, steps % 4 == 0};
}

// Red, green and blue in the low three bytes: a pixel that waits to be written takes one register.
__device__ __forceinline__ unsigned packed(int red, int green, int blue) {
  return static_cast<unsigned>(red) | static_cast<unsigned>(green) << 8 | static_cast<unsigned>(blue) << 16;
}

__device__ __forceinline__ unsigned packed(Rgb rgb) { return packed(rgb.red, rgb.green, rgb.blue); }

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
      pixels[p] = packed(to_level(gain * rgb[p][0]), to_level(gain * rgb[p][1]), to_level(gain * rgb[p][2]));
    }
    return;
  }
  int y[kPixels][1];
  sample_plane<Sample>(view_of(picture, 0, columns[0].samples), rows[0], columns[0], tile, strip, y);
  if (picture.layout == PixelLayout::kNv12) {
    int uv[kPixels][2];
    sample_plane<Sample>(view_of(picture, 1, 2 * columns[1].samples), rows[1], columns[1], tile, strip, uv);
#pragma unroll
    for (int p = 0; p < kPixels; ++p) pixels[p] = packed(to_rgb(picture.color, y[p][0], uv[p][0], uv[p][1]));
    return;
  }
  int u[kPixels][1], v[kPixels][1];
  sample_plane<Sample>(view_of(picture, 1, columns[1].samples), rows[1], columns[1], tile, strip, u);
  sample_plane<Sample>(view_of(picture, 2, columns[1].samples), rows[1], columns[1], tile, strip, v);
#pragma unroll
  for (int p = 0; p < kPixels; ++p) pixels[p] = packed(to_rgb(picture.color, y[p][0], u[p][0], v[p][0]));
}

// Where the tensor has place (row, column) of the picture as it is stored. Places behind the content are turned with
// it onto the padding, one to one.
__device__ __forceinline__ long long place_of(const LetterboxPicture& picture, const NetworkTensor& tensor, int row,
                                              int column, bool is_content) {
  const int up = is_content ? picture.content_height - 1 - row : row;
  const int back = is_content ? picture.content_width - 1 - column : column;
  int y = row, x = column;
  if (picture.rotation == 90) y = column, x = up;
  if (picture.rotation == 180) y = up, x = back;
  if (picture.rotation == 270) y = back, x = row;
  return static_cast<long long>(y) * tensor.row_step + static_cast<long long>(x) * tensor.column_step;
}

// The kernel moves bits; what a level is to the network stands in a table.
__device__ __forceinline__ void write_element(void* tensor, int bytes, long long at, unsigned bits) {
  if (bytes == 2) {
    static_cast<unsigned short*>(tensor)[at] = static_cast<unsigned short>(bits);
  } else if (bytes == 4) {
    static_cast<unsigned*>(tensor)[at] = bits;
  } else {
    static_cast<unsigned char*>(tensor)[at] = static_cast<unsigned char>(bits);
  }
}

}  // namespace acfd

// The filter of one axis, a thread an output; run once for a size of picture.
extern "C" __global__ void letterbox_taps(int length, int subsampling, int outputs, int taps, int tap_step,
                                          int output_step, int* first, short* weights) {
  const int output = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (output >= outputs) return;
  const acfd::Triangle triangle(acfd::Axis{length, subsampling, outputs}, output);
  first[output] = triangle.first;
  triangle.weights(weights + output * output_step, tap_step);
  for (int t = triangle.count; t < taps; ++t) weights[output * output_step + t * tap_step] = 0;
}

// Fills row blockIdx.z of the tensor with picture blockIdx.z.
extern "C" __global__ void __launch_bounds__(256, 4)
    letterbox(const acfd::LetterboxPicture* pictures, const acfd::NetworkTensor* tensors,
              const unsigned* levels,  // [3, 256]: bits of the element that a level becomes
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
  if (tile.row >= height || tile.column >= width) return;  // the grid is square if a picture lies on its side
  for (int k = static_cast<int>(threadIdx.x); k < 3 * kLevels; k += kTileThreads) elements[k] = levels[k];
  __syncthreads();

  unsigned pixels[kPixels] = {};
  const unsigned pad = packed(tensor.pad[0], tensor.pad[1], tensor.pad[2]);
  if (tile.row <= tile.last_row && tile.column <= tile.last_column) {
    if (picture.bit_depth == 8) {
      sample_pixels<unsigned char>(picture, tile, strip, pixels);
    } else {
      sample_pixels<unsigned short>(picture, tile, strip, pixels);
    }
  }
  const int column = tile.column + static_cast<int>(threadIdx.x) % kTileWidth;
#pragma unroll
  for (int p = 0; p < kPixels; ++p) {
    const int row = tile.row + static_cast<int>(threadIdx.x) / kTileWidth + p * kRowStep;
    if (row >= height || column >= width) continue;
    const bool is_content = row <= tile.last_row && column <= tile.last_column;
    const unsigned rgb = is_content ? pixels[p] : pad;
    const long long at = blockIdx.z * tensor.picture_step + place_of(picture, tensor, row, column, is_content);
#pragma unroll
    for (int c = 0; c < 3; ++c) {
      write_element(images, tensor.element_bytes, at + c * tensor.channel_step,
                    elements[c * kLevels + (rgb >> (8 * c) & 0xFF)]);
    }
  }
}
