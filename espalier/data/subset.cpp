// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <numeric>
#include <utility>

#include <espalier/core/error.h>
#include <espalier/core/random.h>
#include <espalier/data/dataset.h>
#include <espalier/data/detail/checks.h>

namespace espalier::data {
namespace {

class Subset final : public Dataset {
 public:
  Subset(std::shared_ptr<const Dataset> whole, std::vector<int64_t> indices)
      : whole_(std::move(whole)), indices_(std::move(indices)) {}

  std::string name() const override { return whole_->name(); }
  int64_t size() const override { return static_cast<int64_t>(indices_.size()); }
  ImageShape image_shape() const override { return whole_->image_shape(); }
  int64_t context() const override { return whole_->context(); }
  const std::vector<std::string>& class_names() const override { return whole_->class_names(); }
  void read(int64_t index, std::span<uint8_t> pixels) const override {
    whole_->read(original(index), pixels);
  }
  int64_t label(int64_t index) const override { return whole_->label(original(index)); }
  std::vector<float> mean() const override { return whole_->mean(); }
  std::vector<float> stddev() const override { return whole_->stddev(); }
  std::vector<std::string> notes() const override { return whole_->notes(); }
  std::filesystem::path file_of(int64_t index) const override {
    return whole_->file_of(original(index));
  }

 private:
  int64_t original(int64_t index) const {
    detail::check_index(*this, index);
    return indices_[static_cast<size_t>(index)];
  }

  std::shared_ptr<const Dataset> whole_;
  std::vector<int64_t> indices_;
};

// Sizes in proportion to `counts` that add up to `size`: rounded down, and the rest one each to the
// largest remainders. No class gets more than it has.
std::vector<int64_t> shares(const std::vector<int64_t>& counts, int64_t total, int64_t size) {
  std::vector<int64_t> out(counts.size());
  std::vector<int64_t> remainders(counts.size());
  int64_t left = size;
  for (size_t c = 0; c < counts.size(); ++c) {
    const int64_t product = counts[c] * size;  // both are below 2^31
    out[c] = product / total;
    remainders[c] = product % total;
    left -= out[c];
  }
  std::vector<size_t> order(counts.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return remainders[a] > remainders[b];
  });
  for (size_t i = 0; i < static_cast<size_t>(left); ++i) ++out[order[i]];
  return out;
}

void check_size(const std::shared_ptr<const Dataset>& dataset, int64_t size) {
  ESPALIER_CHECK(dataset != nullptr, ValueError, "subset: expects a data set, got null");
  ESPALIER_CHECK(size >= 0 && size <= dataset->size(),
                 ValueError,
                 "subset: data set ",
                 dataset->name(),
                 " has ",
                 dataset->size(),
                 " samples, ",
                 size,
                 " were asked for");
}

// The samples that `subset` chooses, in their order.
std::vector<int64_t> chosen(const std::shared_ptr<const Dataset>& dataset,
                            int64_t size,
                            uint64_t seed) {
  check_size(dataset, size);
  std::vector<std::vector<int64_t>> members(dataset->class_names().size());
  for (int64_t i = 0; i < dataset->size(); ++i) {
    members[static_cast<size_t>(dataset->label(i))].push_back(i);
  }
  std::vector<int64_t> indices;
  if (size > 0) {
    std::vector<int64_t> counts;
    for (const auto& of_class : members) counts.push_back(static_cast<int64_t>(of_class.size()));
    const std::vector<int64_t> share = shares(counts, dataset->size(), size);
    for (size_t c = 0; c < members.size(); ++c) {
      Rng rng = Rng(seed, "subset").fork(c);
      const std::vector<int64_t> order = rng.permutation(counts[c]);
      for (int64_t i = 0; i < share[c]; ++i) {
        indices.push_back(members[c][static_cast<size_t>(order[static_cast<size_t>(i)])]);
      }
    }
  }
  std::sort(indices.begin(), indices.end());
  return indices;
}

HeldOut split(std::shared_ptr<const Dataset> dataset, std::vector<int64_t> apart) {
  std::vector<int64_t> rest;
  for (int64_t i = 0; i < dataset->size(); ++i) {
    if (!std::binary_search(apart.begin(), apart.end(), i)) rest.push_back(i);
  }
  return {std::make_shared<Subset>(dataset, std::move(rest)),
          std::make_shared<Subset>(dataset, std::move(apart))};
}

}  // namespace

std::shared_ptr<const Dataset> subset(std::shared_ptr<const Dataset> dataset,
                                      int64_t size,
                                      uint64_t seed) {
  std::vector<int64_t> indices = chosen(dataset, size, seed);
  return std::make_shared<Subset>(std::move(dataset), std::move(indices));
}

HeldOut hold_out(std::shared_ptr<const Dataset> dataset, int64_t size, uint64_t seed) {
  std::vector<int64_t> apart = chosen(dataset, size, seed);
  return split(std::move(dataset), std::move(apart));
}

HeldOut hold_out_end(std::shared_ptr<const Dataset> dataset, int64_t size) {
  check_size(dataset, size);
  std::vector<int64_t> apart(static_cast<size_t>(size));
  std::iota(apart.begin(), apart.end(), dataset->size() - size);
  return split(std::move(dataset), std::move(apart));
}

}  // namespace espalier::data
