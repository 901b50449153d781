#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <mutex>

#include "letterbox_steps.h"

// One content row at a time: each channel is summed down its columns into a row of 14-bit samples, then along
// the row, and the three results are written to the image as RGB. The working set is a few rows, so it stays in
// L1 and L2 whatever the picture's size.

namespace acfd {

Taps::Taps(const Axis& axis) : outputs(axis.outputs), first((outputs + 7) / 8 * 8, 0), counts(outputs) {
  for (int i = 0; i < outputs; ++i) counts[i] = Triangle(axis, i).count;
  const int longest = *std::max_element(counts.begin(), counts.end());
  stride = longest <= 4 ? 4 : (longest + 7) / 8 * 8;
  weights.assign(first.size() * stride, 0);
  for (int i = 0; i < outputs; ++i) {
    const Triangle triangle(axis, i);
    first[i] = triangle.first;
    triangle.weights(weights.data() + static_cast<std::size_t>(i) * stride);
  }
}

namespace {

// The weights of `axis`. The last few axes are cached: they are the same for every frame of a video, and computing
// them takes longer than a row of pixels. The cache is never freed, because threads may outlive static objects.
std::shared_ptr<const Taps> taps_of(const Axis& axis) {
  struct Entry {
    Axis axis{0, 0, 0};
    std::shared_ptr<const Taps> taps;
  };
  static auto& entries = *new std::array<Entry, 32>;
  static auto& lock = *new std::mutex;
  const std::lock_guard<std::mutex> guard(lock);
  const auto found = std::find_if(entries.begin(), entries.end() - 1, [&](const Entry& entry) {
    return entry.axis.length == axis.length && entry.axis.subsampling == axis.subsampling &&
           entry.axis.outputs == axis.outputs;
  });
  std::rotate(entries.begin(), found, found + 1);  // the entry found, or the least recently used
  Entry& entry = entries.front();
  if (entry.axis.length != axis.length || entry.axis.subsampling != axis.subsampling ||
      entry.axis.outputs != axis.outputs) {
    entry = {axis, std::make_shared<Taps>(axis)};
  }
  return entry.taps;
}

// Samples one plane to the content's size before rotation, one row per call.
class PlaneSampler {
 public:
  PlaneSampler(const LetterboxSteps& steps, const Plane& plane, int channels, int subsampling, const LetterboxJob& job,
               Size turned)
      : steps_(steps),
        plane_(plane),
        channels_(channels),
        bit_depth_(job.bit_depth),
        columns_(Axis{job.stored_size.width, subsampling, turned.width}.samples()),
        vertical_(taps_of({job.stored_size.height, subsampling, turned.height})),
        horizontal_(taps_of({job.stored_size.width, subsampling, turned.width})),
        summed_(static_cast<std::size_t>(columns_) * channels + horizontal_->stride + kSlack),
        channel_(channels == 1 ? 0 : columns_ + horizontal_->stride + kSlack) {}

  int channels() const { return channels_; }

  // Row `row` of the content; outs[c] gets the samples of channel c.
  void sample(int row, short* const* outs) {
    const int first = vertical_->first[row], end = first + vertical_->counts[row];
    list_rows(first, end, rows_);
    if (rows_.size() % 2 != 0) rows_.push_back(rows_.back());  // of weight zero
    if (row + 1 < vertical_->outputs) list_rows(end, vertical_->first[row + 1] + vertical_->counts[row + 1], next_);
    const ColumnSum sum{rows_.data(), vertical_->row(row), static_cast<int>(rows_.size()), columns_ * channels_,
                        bit_depth_,   next_.data(),        static_cast<int>(next_.size())};
    steps_.sum_columns(sum, summed_.data());
    if (channels_ == 1) return steps_.sum_rows(summed_.data(), *horizontal_, outs[0]);
    for (int c = 0; c < channels_; ++c) {
      steps_.pick_channel(summed_.data(), channels_, c, columns_, channel_.data());
      steps_.sum_rows(channel_.data(), *horizontal_, outs[c]);
    }
  }

 private:
  void list_rows(int begin, int end, std::vector<const unsigned char*>& rows) const {
    rows.clear();
    for (int row = begin; row < end; ++row) rows.push_back(plane_.data + row * plane_.row_bytes);
  }

  const LetterboxSteps& steps_;
  Plane plane_;
  int channels_, bit_depth_, columns_;
  std::shared_ptr<const Taps> vertical_, horizontal_;
  std::vector<const unsigned char*> rows_, next_;
  std::vector<short> summed_, channel_;  // zeros after the last sample, for the taps of zero weight
};

std::vector<PlaneSampler> samplers_of(const LetterboxSteps& steps, const LetterboxJob& job, Size turned) {
  std::vector<PlaneSampler> samplers;
  switch (job.format) {
    case PixelFormat::kYuv420p:
      samplers.emplace_back(steps, job.planes[0], 1, 1, job, turned);
      samplers.emplace_back(steps, job.planes[1], 1, 2, job, turned);
      samplers.emplace_back(steps, job.planes[2], 1, 2, job, turned);
      break;
    case PixelFormat::kNv12:
      samplers.emplace_back(steps, job.planes[0], 1, 1, job, turned);
      samplers.emplace_back(steps, job.planes[1], 2, 2, job, turned);
      break;
    case PixelFormat::kRgb24:
      samplers.emplace_back(steps, job.planes[0], 3, 1, job, turned);
      break;
  }
  return samplers;
}

// Byte offset in the image of pixel (row, column) of the content before rotation.
struct Placement {
  std::ptrdiff_t origin, row_step, column_step;
};

Placement placement_of(const LetterboxJob& job) {
  const std::ptrdiff_t down = static_cast<std::ptrdiff_t>(job.network_size.width) * 3;
  const std::ptrdiff_t last_row = (job.content_size.height - 1) * down;
  const std::ptrdiff_t last_column = (job.content_size.width - 1) * std::ptrdiff_t{3};
  switch (job.rotation) {
    case 90:
      return {last_column, -3, down};
    case 180:
      return {last_row + last_column, -down, -3};
    case 270:
      return {last_row, 3, -down};
    default:
      return {0, down, 3};
  }
}

// Padding: the end of every row, then whole rows.
void fill_padding(const LetterboxJob& job, unsigned char* image) {
  const std::size_t row_bytes = static_cast<std::size_t>(job.network_size.width) * 3;
  const std::size_t content_bytes = static_cast<std::size_t>(job.content_size.width) * 3;
  const bool is_covered = job.content_size.height == job.network_size.height && content_bytes == row_bytes;
  if (is_covered) return;
  std::vector<unsigned char> row(row_bytes);
  for (std::size_t i = 0; i < row_bytes; ++i) row[i] = job.pad[i % 3];
  for (int y = 0; y < job.network_size.height; ++y) {
    const std::size_t covered = y < job.content_size.height ? content_bytes : 0;
    std::memcpy(image + y * row_bytes + covered, row.data() + covered, row_bytes - covered);
  }
}

const LetterboxSteps* const kSteps[] = {
#if ACFD_X86
    &kAvx2Steps,
#endif
    &kPortableSteps,
};

bool is_supported(const LetterboxSteps& steps) {
#if ACFD_X86
  if (&steps == &kAvx2Steps) return __builtin_cpu_supports("avx2") != 0;
#endif
  return &steps == &kPortableSteps;
}

// RGB of one row of 14-bit samples.
void write_row(const LetterboxSteps& steps, const LetterboxJob& job, const short* const* channels, int width,
               unsigned char* rgb) {
  if (job.tone != nullptr) {
    tone_map_row(*job.tone, job.color, job.format == PixelFormat::kRgb24, channels, width, rgb);
  } else if (job.format == PixelFormat::kRgb24) {
    steps.level_row(job.color.luma, channels, width, rgb);
  } else {
    steps.color_row(job.color, channels, width, rgb);
  }
}

}  // namespace

std::vector<std::string> letterbox_instruction_sets() {
  std::vector<std::string> names;
  for (const LetterboxSteps* steps : kSteps) {
    if (is_supported(*steps)) names.push_back(steps->name);
  }
  return names;
}

void letterbox_cpu(const LetterboxJob& job, unsigned char* image) {
  static const std::vector<std::string> available = letterbox_instruction_sets();
  const std::string& wanted = job.instruction_set.empty() ? available.front() : job.instruction_set;
  const LetterboxSteps& steps =
      **std::find_if(std::begin(kSteps), std::end(kSteps), [&](const auto* each) { return wanted == each->name; });
  fill_padding(job, image);
  const bool is_on_side = job.rotation == 90 || job.rotation == 270;
  const Size turned = is_on_side ? Size{job.content_size.width, job.content_size.height} : job.content_size;
  std::vector<PlaneSampler> samplers = samplers_of(steps, job, turned);
  const std::size_t width = turned.width;
  std::vector<short> samples((width + kSlack) * 3);
  std::vector<unsigned char> turned_row(is_on_side || job.rotation == 180 ? width * 3 : 0);
  short* const channels[3] = {samples.data(), samples.data() + width + kSlack, samples.data() + 2 * (width + kSlack)};

  const Placement place = placement_of(job);
  for (int row = 0; row < turned.height; ++row) {
    short* const* outs = channels;
    for (PlaneSampler& sampler : samplers) {
      sampler.sample(row, outs);
      outs += sampler.channels();
    }
    unsigned char* target = image + place.origin + row * place.row_step;
    if (turned_row.empty()) {
      write_row(steps, job, channels, turned.width, target);
      continue;
    }
    write_row(steps, job, channels, turned.width, turned_row.data());
    for (int column = 0; column < turned.width; ++column) {
      std::memcpy(target + column * place.column_step, turned_row.data() + 3 * column, 3);
    }
  }
}

}  // namespace acfd
