// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/synth.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include <espalier/core/error.h>
#include <espalier/core/random.h>
#include <espalier/data/detail/checks.h>
#include <espalier/data/synth/painter.h>

namespace espalier::data {
namespace {

constexpr int64_t kPixels = 3 * synth::kSide * synth::kSide;

uint64_t split_number(Split split) {
  return split == Split::Train ? 0 : 1;
}

void check_draw(int64_t index, std::span<const uint8_t> pixels) {
  ESPALIER_CHECK(index >= 0 && static_cast<int64_t>(pixels.size()) == kPixels,
                 ValueError,
                 "synth: expects an index >= 0 and room for ",
                 kPixels,
                 " values, got ",
                 index,
                 " and ",
                 pixels.size());
}

class SynthDataset final : public Dataset {
 public:
  SynthDataset(Split split, uint64_t seed, int64_t size)
      : split_(split),
        seed_(seed),
        size_(size),
        states_(std::make_unique<std::atomic<uint8_t>[]>(static_cast<size_t>(size))),
        // Not initialized: the system gives memory page by page, as pictures are drawn.
        pixels_(new uint8_t[static_cast<size_t>(size * kPixels)]) {
    labels_.reserve(static_cast<size_t>(size));
    for (int64_t i = 0; i < size; ++i) {
      labels_.push_back(static_cast<uint8_t>(synth_label(seed, split, i)));
    }
  }

  std::string name() const override { return "synth"; }
  int64_t size() const override { return size_; }
  ImageShape image_shape() const override { return {}; }
  const std::vector<std::string>& class_names() const override {
    static const std::vector<std::string> names = {
        "0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
    return names;
  }

  void read(int64_t index, std::span<uint8_t> pixels) const override {
    detail::check_read(*this, index, pixels);
    uint8_t* kept = pixels_.get() + index * kPixels;
    std::atomic<uint8_t>& state = states_[static_cast<size_t>(index)];
    if (state.load(std::memory_order_acquire) == kKept) {
      std::copy_n(kept, kPixels, pixels.data());
      return;
    }
    draw_synth(seed_, split_, index, pixels);
    uint8_t expected = kNotDrawn;  // two threads may draw the same picture; one of them keeps it
    if (state.compare_exchange_strong(expected, kBeingKept, std::memory_order_relaxed)) {
      std::copy_n(pixels.data(), kPixels, kept);
      state.store(kKept, std::memory_order_release);
    }
  }

  int64_t label(int64_t index) const override {
    detail::check_index(*this, index);
    return labels_[static_cast<size_t>(index)];
  }

  std::vector<float> mean() const override { return {0.493f, 0.493f, 0.493f}; }
  std::vector<float> stddev() const override { return {0.226f, 0.226f, 0.226f}; }

 private:
  static constexpr uint8_t kNotDrawn = 0, kBeingKept = 1, kKept = 2;

  Split split_;
  uint64_t seed_;
  int64_t size_;
  std::vector<uint8_t> labels_;
  std::unique_ptr<std::atomic<uint8_t>[]> states_;
  std::unique_ptr<uint8_t[]> pixels_;
};

}  // namespace

int64_t synth_label(uint64_t seed, Split split, int64_t index) {
  ESPALIER_CHECK(index >= 0, ValueError, "synth: expects an index >= 0, got ", index);
  Rng rng =
      Rng(seed, "synth/labels").fork(split_number(split)).fork(static_cast<uint64_t>(index / 10));
  std::array<uint8_t, 10> digits;
  std::iota(digits.begin(), digits.end(), uint8_t{0});
  for (size_t i = 9; i > 0; --i) std::swap(digits[i], digits[rng.below(i + 1)]);
  return digits[static_cast<size_t>(index % 10)];
}

void draw_synth(uint64_t seed, Split split, int64_t index, std::span<uint8_t> pixels) {
  check_draw(index, pixels);
  Rng rng =
      Rng(seed, "synth/pictures").fork(split_number(split)).fork(static_cast<uint64_t>(index));
  synth::paint(static_cast<int>(synth_label(seed, split, index)), rng, pixels.first<kPixels>());
}

std::shared_ptr<const Dataset> make_synth(Split split, uint64_t seed, int64_t size) {
  ESPALIER_CHECK(size >= 0 && size <= int64_t{1} << 31,
                 ValueError,
                 "synth: expects a size in 0..2^31, got ",
                 size);
  return std::make_shared<SynthDataset>(split, seed, size);
}

std::shared_ptr<const Dataset> make_synth(Split split, uint64_t seed) {
  return make_synth(split, seed, split == Split::Train ? kSynthTrainSize : kSynthTestSize);
}

}  // namespace espalier::data
