// SPDX-License-Identifier: Apache-2.0
/// Hand-set allocation: sparsities that a paper lists layer by layer.
#include <charconv>
#include <utility>

#include <espalier/core/error.h>
#include <espalier/core/options/option.h>
#include <espalier/prune/allocations/allocation.h>

namespace espalier::prune {
namespace {

class HandSetAllocation : public Allocation {
 public:
  std::string name() const override { return entries_.empty() ? "uniform" : "hand-set"; }
  explicit HandSetAllocation(const std::string& text) {
    for (const std::string& entry : split_names(text)) entries_.push_back(parse(entry));
  }

  SparsityOf sparsity_of(bool channels) const override {
    if (!entries_.empty()) return SparsityOf::Nothing;
    return channels ? SparsityOf::Channels : SparsityOf::Weights;
  }

  std::vector<int64_t> keep(std::span<const LayerView> layers, Sparsity target) const override {
    std::vector<int64_t> kept;
    std::vector<bool> used(entries_.size(), false);
    for (const LayerView& layer : layers) {
      Sparsity sparsity = target;
      for (size_t e = 0; e < entries_.size(); ++e) {
        if (!fits(layer.name, entries_[e].first)) continue;
        sparsity = entries_[e].second;
        used[e] = true;
      }
      kept.push_back(kept_count(layer.units, sparsity));
    }
    for (size_t e = 0; e < entries_.size(); ++e) {
      ESPALIER_CHECK(used[e],
                     ValueError,
                     "layer sparsities: no pruned layer has the name or prefix '",
                     entries_[e].first,
                     "'");
    }
    return kept;
  }

 private:
  using Entry = std::pair<std::string, Sparsity>;

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

  std::vector<Entry> entries_;
};

}  // namespace

std::unique_ptr<Allocation> hand_set_allocation(const std::string& text) {
  return std::make_unique<HandSetAllocation>(text);
}

}  // namespace espalier::prune
