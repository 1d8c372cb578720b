// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/resized.h>

#include <utility>
#include <vector>

#include <espalier/core/error.h>
#include <espalier/data/detail/checks.h>
#include <espalier/data/detail/image_file.h>

namespace espalier::data {
namespace {

class Resized final : public Dataset {
 public:
  Resized(std::shared_ptr<const Dataset> inner, int64_t side)
      : inner_(std::move(inner)), side_(side) {}

  std::string name() const override { return inner_->name(); }
  int64_t size() const override { return inner_->size(); }
  ImageShape image_shape() const override { return {inner_->image_shape().channels, side_, side_}; }
  const std::vector<std::string>& class_names() const override { return inner_->class_names(); }
  int64_t label(int64_t index) const override { return inner_->label(index); }
  std::vector<float> mean() const override { return inner_->mean(); }
  std::vector<float> stddev() const override { return inner_->stddev(); }
  std::vector<std::string> notes() const override { return inner_->notes(); }
  std::filesystem::path file_of(int64_t index) const override { return inner_->file_of(index); }

  void read(int64_t index, std::span<uint8_t> pixels) const override {
    detail::check_read(*this, index, pixels);
    const ImageShape from = inner_->image_shape();
    std::vector<uint8_t> whole(static_cast<size_t>(from.numel()));
    inner_->read(index, whole);
    for (int64_t c = 0; c < from.channels; ++c) {
      detail::fit_pixels(whole.data() + c * from.height * from.width,
                         {from.height, from.width},
                         1,
                         pixels.data() + c * side_ * side_,
                         {side_, side_});
    }
  }

 private:
  std::shared_ptr<const Dataset> inner_;
  int64_t side_;
};

}  // namespace

std::shared_ptr<const Dataset> resized(std::shared_ptr<const Dataset> dataset, int64_t side) {
  ESPALIER_CHECK(dataset != nullptr, ValueError, "resized: expects a data set, got null");
  ESPALIER_CHECK(dataset->context() == 0,
                 ValueError,
                 "resized: ",
                 dataset->name(),
                 " is a text, which has no image size");
  ESPALIER_CHECK(side >= 1 && side <= kMostImageSide,
                 ValueError,
                 "resized: expects a side of 1 .. ",
                 kMostImageSide,
                 ", got ",
                 side);
  const ImageShape shape = dataset->image_shape();
  if (shape.height == side && shape.width == side) return dataset;
  return std::make_shared<Resized>(std::move(dataset), side);
}

}  // namespace espalier::data
