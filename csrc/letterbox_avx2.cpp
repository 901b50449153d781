// The letterbox steps with AVX2: mostly multiply-adds of pairs of 16-bit numbers in 256-bit registers.

#include "letterbox_steps.h"

#if ACFD_X86
#include <immintrin.h>

#include <cstdint>
#include <cstring>

#define ACFD_AVX2 __attribute__((target("avx2")))
#define ACFD_AVX2_INLINE __attribute__((target("avx2"), always_inline)) inline

namespace acfd {
namespace {

// --- down the columns ---

// Sixteen samples as signed 16-bit numbers. 16-bit words are reduced by 2^15, which `base_of` adds back to their sum.
template <typename Sample>
ACFD_AVX2_INLINE __m256i load_samples(const unsigned char* row, int column) {
  if constexpr (sizeof(Sample) == 1) {
    return _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(row + column)));
  } else {
    const __m256i words = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row + 2 * column));
    return _mm256_xor_si256(words, _mm256_set1_epi16(-0x8000));
  }
}

// Start value of sums: half a step for rounding. Weights add up to 2^14, so 2^15 of every word makes 2^29.
template <typename Sample>
constexpr int base_of(int bit_depth) {
  return (1 << (bit_depth - 1)) + (sizeof(Sample) == 1 ? 0 : 1 << (15 + kWeightBits));
}

ACFD_AVX2_INLINE int pair_at(const short* weights) {
  int pair;
  std::memcpy(&pair, weights, sizeof pair);
  return pair;
}

// kBlocks times sixteen columns. Unpacking splits a sum in halves, and packing joins them again.
template <typename Sample, int kBlocks>
ACFD_AVX2_INLINE void sum_block(const ColumnSum& sum, int column, short* out) {
  __m256i low[kBlocks], high[kBlocks];
  for (int k = 0; k < kBlocks; ++k) low[k] = high[k] = _mm256_set1_epi32(base_of<Sample>(sum.bit_depth));
  for (int t = 0; t < sum.taps; t += 2) {
    const unsigned char *const upper = sum.rows[t], *const lower = sum.rows[t + 1];
    const __m256i weights = _mm256_set1_epi32(pair_at(sum.weights + t));
    for (int k = 0; k < kBlocks; ++k) {
      const __m256i a = load_samples<Sample>(upper, column + 16 * k), b = load_samples<Sample>(lower, column + 16 * k);
      low[k] = _mm256_add_epi32(low[k], _mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), weights));
      high[k] = _mm256_add_epi32(high[k], _mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), weights));
    }
  }
  const __m128i shift = _mm_cvtsi32_si128(sum.bit_depth);
  for (int k = 0; k < kBlocks; ++k) {
    const __m256i packed = _mm256_packs_epi32(_mm256_sra_epi32(low[k], shift), _mm256_sra_epi32(high[k], shift));
    const __m256i capped = _mm256_min_epi16(packed, _mm256_set1_epi16(1 << kSampleBits));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + column + 16 * k), capped);
  }
}

// Prefetches these columns of the next rows. A row is too short for the hardware prefetcher, and prefetching a whole
// row at once would stall.
template <typename Sample>
ACFD_AVX2_INLINE void fetch(const ColumnSum& sum, int column) {
  for (int k = 0; k < sum.next_count; ++k) {
    for (int byte = 0; byte < 48 * static_cast<int>(sizeof(Sample)); byte += 64) {
      _mm_prefetch(reinterpret_cast<const char*>(sum.next[k]) + column * sizeof(Sample) + byte, _MM_HINT_T0);
    }
  }
}

template <typename Sample>
ACFD_AVX2_INLINE void sum_columns_of(const ColumnSum& sum, short* out) {
  int column = 0;
  for (; column + 48 <= sum.count; column += 48) {
    fetch<Sample>(sum, column);
    sum_block<Sample, 3>(sum, column, out);
  }
  for (; column + 16 <= sum.count; column += 16) sum_block<Sample, 1>(sum, column, out);
  if (column == sum.count) return;
  if (sum.count >= 16) return sum_block<Sample, 1>(sum, sum.count - 16, out);  // some columns a second time
  kPortableSteps.sum_columns(sum, out);
}

ACFD_AVX2 void sum_columns(const ColumnSum& sum, short* out) {
  if (sum.bit_depth == 8) return sum_columns_of<std::uint8_t>(sum, out);
  sum_columns_of<std::uint16_t>(sum, out);
}

// --- along the rows ---

ACFD_AVX2_INLINE __m256i load_two(const short* low, const short* high) {
  const __m128i first = _mm_loadu_si128(reinterpret_cast<const __m128i*>(low));
  return _mm256_inserti128_si256(_mm256_castsi128_si256(first), _mm_loadu_si128(reinterpret_cast<const __m128i*>(high)),
                                 1);
}

ACFD_AVX2_INLINE __m128i load_halves(const short* low, const short* high) {
  const __m128i first = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(low));
  return _mm_unpacklo_epi64(first, _mm_loadl_epi64(reinterpret_cast<const __m128i*>(high)));
}

ACFD_AVX2_INLINE __m256i weights_at(const short* weights) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights));
}

ACFD_AVX2_INLINE __m256i rounded(__m256i sums) {
  return _mm256_srai_epi32(_mm256_add_epi32(sums, _mm256_set1_epi32(1 << (kWeightBits - 1))), kWeightBits);
}

// Products of four outputs of four taps: 0 0 1 1 | 2 2 3 3.
ACFD_AVX2_INLINE __m256i four_by_four(const short* samples, const int* first, const short* weights) {
  const __m128i low = load_halves(samples + first[0], samples + first[1]);
  const __m128i high = load_halves(samples + first[2], samples + first[3]);
  return _mm256_madd_epi16(_mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1), weights_at(weights));
}

ACFD_AVX2_INLINE void sum_rows_by_4(const short* samples, const Taps& taps, short* out) {
  const int* first = taps.first.data();
  const short* weights = taps.weights.data();
  for (int i = 0; i < taps.outputs; i += 8, first += 8, weights += 32) {
    const __m256i sums = rounded(
        _mm256_hadd_epi32(four_by_four(samples, first, weights), four_by_four(samples, first + 4, weights + 16)));
    const __m128i packed = _mm_packs_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i), _mm_shuffle_epi32(packed, 0xD8));  // 0 1 4 5 2 3 6 7
  }
}

// Products of two outputs: 0 0 0 0 | 1 1 1 1. kStride 0: as many taps as there are.
template <int kStride>
ACFD_AVX2_INLINE __m256i two_by_eights(const short* samples, const int* first, const short* weights, int stride) {
  const short *const a = samples + first[0], *const b = samples + first[1];
  if constexpr (kStride == 8) return _mm256_madd_epi16(load_two(a, b), weights_at(weights));
  __m256i sums = _mm256_setzero_si256();
  for (int t = 0; t < stride; t += 8) {
    const __m256i pair = load_two(weights + t, weights + stride + t);
    sums = _mm256_add_epi32(sums, _mm256_madd_epi16(load_two(a + t, b + t), pair));
  }
  return sums;
}

template <int kStride>
ACFD_AVX2_INLINE void sum_rows_by_8(const short* samples, const Taps& taps, short* out) {
  const int stride = taps.stride;
  const int* first = taps.first.data();
  const short* weights = taps.weights.data();
  for (int i = 0; i < taps.outputs; i += 8, first += 8, weights += 8 * stride) {
    __m256i pairs[4];
    for (int k = 0; k < 4; ++k) {
      pairs[k] = two_by_eights<kStride>(samples, first + 2 * k, weights + 2 * k * stride, stride);
    }
    // 0 2 4 6 | 1 3 5 7, none above 2^14.
    const __m256i sums =
        rounded(_mm256_hadd_epi32(_mm256_hadd_epi32(pairs[0], pairs[1]), _mm256_hadd_epi32(pairs[2], pairs[3])));
    const __m128i odd = _mm_slli_epi32(_mm256_extracti128_si256(sums, 1), 16);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i), _mm_or_si128(_mm256_castsi256_si128(sums), odd));
  }
}

ACFD_AVX2 void sum_rows(const short* samples, const Taps& taps, short* out) {
  if (taps.stride == 4) return sum_rows_by_4(samples, taps, out);
  if (taps.stride == 8) return sum_rows_by_8<8>(samples, taps, out);
  sum_rows_by_8<0>(samples, taps, out);
}

// --- colour ---

// (first, second) as the multiply-add wants them, over and over.
ACFD_AVX2_INLINE __m256i coefficients(int first, int second) {
  return _mm256_set1_epi32(static_cast<int>((first & 0xFFFF) | static_cast<unsigned>(second) << 16));
}

constexpr int kHalfRoot = 1 << (kColorBits / 2);  // its square is half a level: 2^18
static_assert(kHalfRoot * kHalfRoot == 1 << (kColorBits - 1), "half a level is a product of two 16-bit numbers");

// first . a + second . b + 1/2, sixteen levels that packing to bytes will clip.
ACFD_AVX2_INLINE __m256i levels(__m256i a, __m256i b, __m256i pair) {
  const __m256i half = _mm256_set1_epi32(1 << (kColorBits - 1));
  const __m256i low = _mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), pair);
  const __m256i high = _mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), pair);
  return _mm256_packs_epi32(_mm256_srai_epi32(_mm256_add_epi32(low, half), kColorBits),
                            _mm256_srai_epi32(_mm256_add_epi32(high, half), kColorBits));
}

// The same with a third term; its pair adds the half.
ACFD_AVX2_INLINE __m256i levels(__m256i a, __m256i b, __m256i c, __m256i pair, __m256i third) {
  const __m256i root = _mm256_set1_epi16(kHalfRoot);
  const __m256i low = _mm256_add_epi32(_mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), pair),
                                       _mm256_madd_epi16(_mm256_unpacklo_epi16(c, root), third));
  const __m256i high = _mm256_add_epi32(_mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), pair),
                                        _mm256_madd_epi16(_mm256_unpackhi_epi16(c, root), third));
  return _mm256_packs_epi32(_mm256_srai_epi32(low, kColorBits), _mm256_srai_epi32(high, kColorBits));
}

// Sixteen pixels, 48 bytes. Each half has eight: red and green interleaved, then blue.
ACFD_AVX2_INLINE void store_rgb(__m256i red, __m256i green, __m256i blue, unsigned char* out) {
  const __m256i red_green = _mm256_packus_epi16(red, green), blues = _mm256_packus_epi16(blue, blue);
  const __m256i begin =
      _mm256_or_si256(_mm256_shuffle_epi8(red_green, _mm256_broadcastsi128_si256(_mm_setr_epi8(
                                                         0, 8, -1, 1, 9, -1, 2, 10, -1, 3, 11, -1, 4, 12, -1, 5))),
                      _mm256_shuffle_epi8(blues, _mm256_broadcastsi128_si256(_mm_setr_epi8(
                                                     -1, -1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1))));
  const __m256i end = _mm256_or_si256(
      _mm256_shuffle_epi8(red_green, _mm256_broadcastsi128_si256(
                                         _mm_setr_epi8(13, -1, 6, 14, -1, 7, 15, -1, -1, -1, -1, -1, -1, -1, -1, -1))),
      _mm256_shuffle_epi8(blues, _mm256_broadcastsi128_si256(
                                     _mm_setr_epi8(-1, 5, -1, -1, 6, -1, -1, 7, -1, -1, -1, -1, -1, -1, -1, -1))));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm256_castsi256_si128(begin));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(out + 16), _mm256_castsi256_si128(end));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 24), _mm256_extracti128_si256(begin, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(out + 40), _mm256_extracti128_si256(end, 1));
}

ACFD_AVX2_INLINE __m256i load_row(const short* row, int column) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row + column));
}

ACFD_AVX2_INLINE void sixteen(const ColorTransform& color, const short* const* yuv, int column, unsigned char* out) {
  const __m256i y = _mm256_sub_epi16(load_row(yuv[0], column), _mm256_set1_epi16(static_cast<short>(color.black)));
  const __m256i grey = _mm256_set1_epi16(static_cast<short>(color.grey));
  const __m256i u = _mm256_sub_epi16(load_row(yuv[1], column), grey);
  const __m256i v = _mm256_sub_epi16(load_row(yuv[2], column), grey);
  const __m256i red = levels(y, v, coefficients(color.luma, color.red_v));
  const __m256i green =
      levels(y, u, v, coefficients(color.luma, -color.green_u), coefficients(-color.green_v, kHalfRoot));
  store_rgb(red, green, levels(y, u, coefficients(color.luma, color.blue_u)), out);
}

ACFD_AVX2_INLINE void sixteen(int gain, const short* const* rgb, int column, unsigned char* out) {
  __m256i channels[3];
  for (int c = 0; c < 3; ++c) {
    channels[c] = levels(load_row(rgb[c], column), _mm256_setzero_si256(), coefficients(gain, 0));
  }
  store_rgb(channels[0], channels[1], channels[2], out);
}

// A row of pixels in groups of sixteen; the last ones through a buffer, because nothing may be written after the row.
template <typename Rule>
ACFD_AVX2_INLINE void rgb_row(const Rule& rule, const short* const* channels, int count, unsigned char* out) {
  int column = 0;
  for (; column + 16 <= count; column += 16) sixteen(rule, channels, column, out + 3 * column);
  if (column == count) return;
  unsigned char last[48];
  sixteen(rule, channels, column, last);
  std::memcpy(out + 3 * column, last, 3 * (count - column));
}

ACFD_AVX2 void color_row(const ColorTransform& color, const short* const* yuv, int count, unsigned char* out) {
  rgb_row(color, yuv, count, out);
}

ACFD_AVX2 void level_row(int gain, const short* const* rgb, int count, unsigned char* out) {
  rgb_row(gain, rgb, count, out);
}

ACFD_AVX2 void pick_channel(const short* interleaved, int channels, int channel, int count, short* out) {
  pick(interleaved, channels, channel, count, out);
}

}  // namespace

const LetterboxSteps kAvx2Steps{"avx2", sum_columns, sum_rows, color_row, level_row, pick_channel};

}  // namespace acfd
#endif
