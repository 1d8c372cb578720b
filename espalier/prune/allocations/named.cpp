// SPDX-License-Identifier: Apache-2.0
/// Named layers: sparsities of their own, as a paper lists them or a user knows better.
#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include <espalier/core/error.h>
#include <espalier/core/options/option.h>
#include <espalier/prune/allocations/allocation.h>

namespace espalier::prune {
namespace {

class NamedAllocation : public Allocation {
 public:
  std::string name() const override { return "named layers, " + rest_->name(); }
  NamedAllocation(std::shared_ptr<const Allocation> rest, const std::string& text)
      : rest_(std::move(rest)) {
    for (const std::string& entry : split_names(text)) entries_.push_back(parse(entry));
  }

  SparsityOf sparsity_of(bool /*channels*/) const override { return SparsityOf::Nothing; }
  bool looks_at_scores() const override { return rest_->looks_at_scores(); }

  /// The others divide the target among themselves as if they were alone.
  std::vector<int64_t> keep(std::span<const LayerView> layers, Sparsity target) const override {
    std::vector<LayerView> others;
    for (const LayerView& layer : layers) {
      if (!own(layer)) others.push_back(layer);
    }
    check_names(layers);
    const std::vector<int64_t> of_others = rest_->keep(others, target);
    std::vector<int64_t> kept;
    size_t next = 0;
    for (const LayerView& layer : layers) {
      const std::optional<Sparsity> sparsity = own(layer);
      kept.push_back(sparsity ? kept_count(layer.units, *sparsity) : of_others[next++]);
    }
    return kept;
  }

  /// Channels of named layers take weights of their neighbours with them, so that the others are
  /// divided as if no layer were named.
  std::vector<int64_t> keep_channels(std::span<const LayerView> layers,
                                     Sparsity target,
                                     ChannelWeights& weights) const override {
    check_names(layers);
    std::vector<int64_t> kept = rest_->keep_channels(layers, target, weights);
    for (size_t l = 0; l < layers.size(); ++l) {
      if (const auto sparsity = own(layers[l])) kept[l] = kept_count(layers[l].units, *sparsity);
    }
    return kept;
  }

 private:
  using Entry = std::pair<std::string, Sparsity>;

  std::optional<Sparsity> own(const LayerView& layer) const {
    std::optional<Sparsity> sparsity;
    for (const auto& [name, value] : entries_) {
      if (fits(layer.name, name)) sparsity = value;
    }
    return sparsity;
  }

  void check_names(std::span<const LayerView> layers) const {
    for (const Entry& entry : entries_) {
      const bool used = std::ranges::any_of(
          layers, [&](const LayerView& layer) { return fits(layer.name, entry.first); });
      ESPALIER_CHECK(used,
                     ValueError,
                     "layer sparsities: no pruned layer has the name or prefix '",
                     entry.first,
                     "'");
    }
  }

  static bool fits(const std::string& layer, const std::string& name) {
    return layer == name || (layer.starts_with(name) && layer[name.size()] == '.');
  }

  static Entry parse(const std::string& text) {
    const size_t equals = text.find('=');
    double value = -1.0;
    const char* end = text.data() + text.size();
    const bool good = equals != std::string::npos && equals > 0 &&
                      std::from_chars(text.data() + equals + 1, end, value).ptr == end &&
                      value >= 0.0 && value <= 1.0;
    ESPALIER_CHECK(good,
                   ValueError,
                   "layer sparsities: expects NAME=S with S in 0 .. 1, separated by commas; got '",
                   text,
                   "'");
    return {text.substr(0, equals), Sparsity(value)};
  }

  std::shared_ptr<const Allocation> rest_;
  std::vector<Entry> entries_;
};

}  // namespace

std::shared_ptr<const Allocation> named_allocation(std::shared_ptr<const Allocation> rest,
                                                   const std::string& text) {
  if (text.empty()) return rest;
  return std::make_shared<NamedAllocation>(std::move(rest), text);
}

}  // namespace espalier::prune
