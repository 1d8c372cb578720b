// SPDX-License-Identifier: Apache-2.0
/// Named layers: sparsities of their own, as a paper lists them or a user knows better.
#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include <espalier/core/error.h>
#include <espalier/prune/allocations/allocation.h>
#include <espalier/prune/ground/by_layer.h>
#include <espalier/prune/sites/channel_weights.h>

namespace espalier::prune {
namespace {

class NamedAllocation : public Allocation {
 public:
  std::string name() const override { return "named layers, " + rest_->name(); }
  NamedAllocation(std::shared_ptr<const Allocation> rest, const std::string& text)
      : rest_(std::move(rest)), settings_(parse_layer_settings(text, "layer sparsities")) {
    for (const LayerSetting& setting : settings_) sparsities_.push_back(parse(setting));
  }

  SparsityOf sparsity_of(bool /*channels*/) const override { return SparsityOf::Nothing; }
  bool looks_at_scores() const override { return rest_->looks_at_scores(); }
  bool heeds_target() const override { return rest_->heeds_target(); }

  Sparsity most(std::span<const SiteScores> layers) const override {
    return rest_->most(others_of(layers));
  }

  /// The others divide the target among themselves as if they were alone.
  std::vector<int64_t> keep(std::span<const SiteScores> layers, Sparsity target) const override {
    check_names(layers);
    const std::vector<int64_t> of_others = rest_->keep(others_of(layers), target);
    std::vector<int64_t> kept;
    size_t next = 0;
    for (const SiteScores& layer : layers) {
      const std::optional<Sparsity> sparsity = own(layer);
      kept.push_back(sparsity ? kept_count(layer.units, *sparsity) : of_others[next++]);
    }
    return kept;
  }

  /// Channels of named layers take weights of their neighbours with them: the others divide what
  /// named layers, at their own sparsities, leave of all weights. So it is the same in one round
  /// and in many.
  std::vector<int64_t> keep_channels(std::span<const SiteScores> layers,
                                     Sparsity target,
                                     ChannelWeights& weights) const override {
    check_names(layers);
    std::vector<SiteScores> settled(layers.begin(), layers.end());
    std::vector<std::vector<uint8_t>> stay(layers.size());
    ChannelWeights left = weights;
    for (size_t l = 0; l < layers.size(); ++l) {
      const auto sparsity = own(layers[l]);
      if (!sparsity) continue;
      const int64_t alive = std::ranges::count(layers[l].alive, uint8_t{1});
      const int64_t number = std::min(alive, kept_count(layers[l].units, *sparsity));
      stay[l] = top_k(layers[l].scores, layers[l].alive, number, layers[l].first);
      settled[l].alive = stay[l];
      settled[l].at_least = number;
      for (int64_t u = 0; u < layers[l].units; ++u) {
        if (stay[l][static_cast<size_t>(u)] == 0) left.remove(l, u);
      }
    }
    const bool of_weights = rest_->sparsity_of(true) == SparsityOf::Weights && left.total() > 0;
    const double share = static_cast<double>(left.left()) / static_cast<double>(left.total());
    const Sparsity of_others =
        of_weights ? Density(target.density().value() * share).sparsity() : target;
    std::vector<int64_t> kept = rest_->keep_channels(settled, of_others, weights);
    for (size_t l = 0; l < layers.size(); ++l) {
      if (const auto sparsity = own(layers[l])) kept[l] = kept_count(layers[l].units, *sparsity);
    }
    return kept;
  }

 private:
  std::vector<SiteScores> others_of(std::span<const SiteScores> layers) const {
    std::vector<SiteScores> others;
    for (const SiteScores& layer : layers) {
      if (!own(layer)) others.push_back(layer);
    }
    return others;
  }

  std::optional<Sparsity> own(const SiteScores& layer) const {
    const LayerSetting* setting = setting_of(settings_, layer.name);
    if (setting == nullptr) return {};
    return sparsities_[static_cast<size_t>(setting - settings_.data())];
  }

  void check_names(std::span<const SiteScores> layers) const {
    std::vector<std::string> names;
    for (const SiteScores& layer : layers) names.push_back(layer.name);
    check_layer_names(settings_, names, "layer sparsities");
  }

  static Sparsity parse(const LayerSetting& setting) {
    double value = -1.0;
    const char* end = setting.value.data() + setting.value.size();
    ESPALIER_CHECK(std::from_chars(setting.value.data(), end, value).ptr == end && value >= 0.0 &&
                       value <= 1.0,
                   ValueError,
                   "layer sparsities: expects NAME=S with S in 0 .. 1, separated by commas; got '",
                   setting.layer,
                   "=",
                   setting.value,
                   "'");
    return Sparsity(value);
  }

  std::shared_ptr<const Allocation> rest_;
  std::vector<LayerSetting> settings_;
  std::vector<Sparsity> sparsities_;  // as settings_
};

}  // namespace

std::shared_ptr<const Allocation> named_allocation(std::shared_ptr<const Allocation> rest,
                                                   const std::string& text) {
  if (text.empty()) return rest;
  return std::make_shared<NamedAllocation>(std::move(rest), text);
}

}  // namespace espalier::prune
