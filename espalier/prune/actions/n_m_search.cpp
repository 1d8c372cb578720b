// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <cmath>
#include <map>
#include <numeric>
#include <optional>
#include <utility>

#include <espalier/nn/introspect/counting.h>
#include <espalier/prune/actions/actions.h>
#include <espalier/prune/allocations/allocation.h>
#include <espalier/prune/ground/select.h>
#include <espalier/prune/patterns/n_m.h>
#include <espalier/prune/penalties/penalty.h>
#include <espalier/prune/sites/site.h>
#include <espalier/prune/structure/channel_graph.h>
#include <espalier/prune/update/to_budget.h>

namespace espalier::prune {
namespace {

constexpr double kNear = 0.001;  // of the published code: so near the target is there
constexpr double kNoDivergence = 0.01;

/// One layer with groups of M.
struct Layer {
  Site site;
  int64_t size = 0;                // M
  double macs = 0.0;               // dense, of one sample
  double wanted = 0.0;             // sparsity that ERK gives it
  std::vector<double> thresholds;  // by group, of the beginning
  int64_t counter = 0;             // sinks by one
  int64_t kept = 0;                // N: M, or the last power of two that the counter came to

  nn::Parameter& parameter() const { return *site.parts.front().parameter; }
  double sparsity() const { return 1.0 - static_cast<double>(kept) / static_cast<double>(size); }
};

/// |w| by unit, the M of a group side by side.
std::vector<double> magnitudes(const Layer& layer) {
  const std::vector<double> values = layer.parameter().value.value().to_vector<double>();
  std::vector<double> result(values.size());
  const Units& units = layer.site.parts.front().units;
  for (size_t i = 0; i < values.size(); ++i) {
    result[static_cast<size_t>(units.unit(static_cast<int64_t>(i)))] = std::abs(values[i]);
  }
  return result;
}

/// The mean of the smaller half of every group.
std::vector<double> lower_means(const Layer& layer) {
  std::vector<double> sorted = magnitudes(layer);
  std::vector<double> means;
  const auto half = static_cast<std::ptrdiff_t>(layer.size / 2);
  for (auto group = sorted.begin(); group != sorted.end(); group += layer.size) {
    std::sort(group, group + layer.size);
    means.push_back(std::accumulate(group, group + half, 0.0) / static_cast<double>(half));
  }
  return means;
}

/// Share of the groups with fewer than `n` weights above their threshold.
double vote(const Layer& layer, int64_t n) {
  const std::vector<double> sizes = magnitudes(layer);
  int64_t agree = 0;
  for (size_t g = 0; g < layer.thresholds.size(); ++g) {
    const auto first = sizes.begin() + static_cast<std::ptrdiff_t>(g) * layer.size;
    const auto above =
        std::count_if(first, first + layer.size, [&](double w) { return w > layer.thresholds[g]; });
    agree += above < n ? 1 : 0;
  }
  return static_cast<double>(agree) / static_cast<double>(layer.thresholds.size());
}

/// Keeps the N largest of every M that are still there. Returns the entries that changed.
int64_t set_mask(const Layer& layer) {
  const std::vector<uint8_t> kept =
      top_k_in_cells(magnitudes(layer), layer.site.alive(), layer.kept, layer.size);
  nn::Parameter& parameter = layer.parameter();
  Tensor mask = Tensor::empty(parameter.shape(), DType::U8);
  const Units& units = layer.site.parts.front().units;
  for (int64_t i = 0; i < mask.numel(); ++i) {
    mask.data<uint8_t>()[i] = kept[static_cast<size_t>(units.unit(i))];
  }
  const int64_t before = parameter.nnz();
  parameter.set_mask(mask);
  return before - parameter.nnz();
}

class NmSearch : public Action {
 public:
  explicit NmSearch(const NmSearchOptions& options) : options_(options) {}

  ActionFacts facts() const override { return {.needs_data = true, .global = true}; }

  std::string refusal(const Pattern& pattern) const override {
    if (dynamic_cast<const OpenNMPattern*>(&pattern) != nullptr) return {};
    return cat("finds N of every M, got pattern ", pattern.name());
  }

  std::optional<std::string> target_refusal(const Target& target) const override {
    if (target.kind != BudgetKind::Latency) return std::string();
    return "it halves layers until enough is gone, and looks at every step whether that is so, "
           "which measured times are too uneven for. Give macs or bytes";
  }

  void check(const Subject& subject) override { bind(subject); }

  void before_step(const Subject& subject, nn::TrainState& state) override {
    bind(subject);
    if (state.step % options_.frequency != 0) return;
    for (Layer& layer : layers_) {
      if (reached(subject)) return;
      if (layer.kept == 1 || vote(layer, layer.counter) < options_.vote) continue;
      --layer.counter;
      if (!std::has_single_bit(static_cast<uint64_t>(layer.counter))) continue;
      layer.kept = layer.counter;
      changed_[layer.site.name] += set_mask(layer);
      state.optimizer.clear_masked_state();
    }
  }

  void after_backward(const Subject& subject, nn::TrainState& state) override {
    bind(subject);
    if (state.step % options_.every != 0 || reached(subject)) return;
    const std::vector<double> factors = penalty_factors();
    for (size_t l = 0; l < layers_.size(); ++l) {
      std::vector<double> amounts = layers_[l].parameter().value.value().to_vector<double>();
      for (double& w : amounts) w *= options_.decay * factors[l];
      add_to_gradient(layers_[l].parameter(), amounts);
    }
  }

  UpdateReport update(const Subject& subject,
                      std::span<const Moment> rounds,
                      UpdateNumber) override {
    bind(subject);
    std::vector<Layer*> halved;
    while (!reached(subject)) {
      Layer* next = nullptr;
      double most = -1.0;
      for (Layer& layer : layers_) {
        const double agree = layer.kept == 1 ? -1.0 : vote(layer, layer.kept);
        if (agree > most) next = &layer;
        most = std::max(most, agree);
      }
      next->kept /= 2;
      next->counter = std::min(next->counter, next->kept);
      halved.push_back(next);
    }
    // What a later and larger step made needless.
    for (Layer* layer : halved) {
      if (!budget_) break;
      layer->kept *= 2;
      if (!reached(subject)) layer->kept /= 2;
    }
    for (Layer& layer : layers_) {
      if (layer.kept < layer.size) changed_[layer.site.name] += set_mask(layer);
    }
    if (subject.optimizer != nullptr) subject.optimizer->clear_masked_state();
    return report(subject, rounds.front());
  }

  std::map<std::string, Tensor> state() const override {
    std::map<std::string, Tensor> state;
    for (const Layer& layer : layers_) {
      const auto groups = static_cast<int64_t>(layer.thresholds.size());
      state["thresholds." + layer.site.name] = Tensor::from<double>({groups}, layer.thresholds);
      state["n." + layer.site.name] = Tensor::from<int64_t>(
          {3}, std::vector<int64_t>{layer.counter, layer.kept, changed_.at(layer.site.name)});
    }
    return state;
  }

  void load_state(const std::map<std::string, Tensor>& state) override {
    saved_.clear();
    for (const auto& [name, tensor] : state) saved_[name] = tensor.clone();
    layers_.clear();
  }

 private:
  /// Finds the layers: at the first call, and after loading.
  void bind(const Subject& subject) {
    if (!layers_.empty()) return;
    const std::vector<nn::NamedParameter> weights =
        prunable_weights(subject.model, subject.settings.exclude);
    total_ = 0;
    for (const nn::NamedParameter& weight : weights) total_ += weight.parameter->numel();
    const Variable sample = normal_sample(subject.model, subject.inputs.input_shape);
    std::map<std::string, double> macs;
    for (const nn::LayerCount& one : nn::count_model(subject.model, sample).layers) {
      macs[one.name] = static_cast<double>(one.macs_dense);
    }
    std::vector<SiteScores> views;
    notes_.clear();
    for (Site& site : weight_sites(weights, subject.pattern, notes_)) {
      views.push_back({site.name, site.shape, site.units, {}, {}, {}});
      const auto& pattern = dynamic_cast<const OpenNMPattern&>(subject.pattern.of(site.name));
      const size_t dot = site.name.rfind('.');
      const std::string layer_name = dot == std::string::npos ? "" : site.name.substr(0, dot);
      Layer layer;
      layer.site = std::move(site);
      layer.size = pattern.size();
      layer.macs = macs[layer_name];
      start(layer);
      layers_.push_back(std::move(layer));
    }
    const std::vector<int64_t> kept = make_allocation("erk")->keep(views, subject.settings.final());
    double most = 0.0;
    for (size_t l = 0; l < layers_.size(); ++l) {
      const auto units = static_cast<double>(layers_[l].site.units);
      layers_[l].wanted = 1.0 - static_cast<double>(kept[l]) / units;
      most += units * (1.0 - 1.0 / static_cast<double>(layers_[l].size));
    }
    most /= static_cast<double>(total_);
    if (has_budget(subject)) {
      budget_.emplace(subject);
      const std::vector<int64_t> one_of_each(layers_.size(), 1);
      ESPALIER_CHECK(cost(one_of_each) <= budget_->asked(),
                     ValueError,
                     "prune: with one of every ",
                     layers_.front().size,
                     " weights in every layer that can have the pattern the network has ",
                     cost(one_of_each) / budget_->dense_cost(),
                     " left of the dense one's, but the target is ",
                     subject.settings.target);
      return;
    }
    ESPALIER_CHECK(most >= subject.settings.final().value() - kNear,
                   ValueError,
                   "prune: with one of every ",
                   layers_.front().size,
                   " weights in every layer that can have the pattern ",
                   most,
                   " of the weights go, but sparsity is ",
                   subject.settings.final().value());
  }

  /// From the present weights, or from where a run was that is resumed.
  void start(Layer& layer) {
    changed_[layer.site.name] = 0;
    layer.counter = layer.kept = layer.size;
    if (saved_.empty()) {
      layer.thresholds = lower_means(layer);
      return;
    }
    const auto thresholds = saved_.find("thresholds." + layer.site.name);
    const auto n = saved_.find("n." + layer.site.name);
    ESPALIER_CHECK(thresholds != saved_.end() && n != saved_.end() &&
                       thresholds->second.numel() * layer.size == layer.site.units,
                   ValueError,
                   "prune: the saved state has no groups of ",
                   layer.site.name);
    layer.thresholds = thresholds->second.to_vector<double>();
    const std::vector<int64_t> numbers = n->second.to_vector<int64_t>();
    layer.counter = numbers[0];
    layer.kept = numbers[1];
    changed_[layer.site.name] = numbers[2];
  }

  /// Of a network in which layers keep so many of every M.
  double cost(const std::vector<int64_t>& kept) {
    const auto known = costs_.find(kept);
    if (known != costs_.end()) return known->second;
    std::map<const nn::Parameter*, Tensor> masks;
    for (size_t l = 0; l < layers_.size(); ++l) {
      const Units& units = layers_[l].site.parts.front().units;
      Tensor mask = Tensor::empty(layers_[l].parameter().shape(), DType::U8);
      for (int64_t i = 0; i < mask.numel(); ++i) {
        mask.data<uint8_t>()[i] = units.unit(i) % layers_[l].size < kept[l] ? 1 : 0;
      }
      masks[&layers_[l].parameter()] = mask;
    }
    return costs_[kept] = budget_->cost_under([&](const nn::Parameter& parameter) {
      const auto found = masks.find(&parameter);
      return found == masks.end() ? parameter.mask() : found->second;
    });
  }

  bool reached(const Subject& subject) {
    if (budget_) {
      std::vector<int64_t> kept;
      for (const Layer& layer : layers_) kept.push_back(layer.kept);
      return cost(kept) <= budget_->asked();
    }
    double removed = 0.0;
    for (const Layer& layer : layers_) {
      removed += static_cast<double>(layer.site.units) * layer.sparsity();
    }
    return removed / static_cast<double>(total_) >= subject.settings.final().value() - kNear;
  }

  /// Half of what the layer computes, in that of the one that computes most, and half of how far it
  /// is from ERK's sparsity, in the largest distance. The latter is negative beyond it.
  std::vector<double> penalty_factors() const {
    double most_macs = 0.0;
    double farthest = 0.0;
    double furthest_to_go = 0.0;
    for (const Layer& layer : layers_) {
      const double divergence = layer.wanted - layer.sparsity();
      most_macs = std::max(most_macs, layer.macs * (1.0 - layer.sparsity()));
      farthest = std::max(farthest, std::abs(divergence));
      furthest_to_go = std::max(furthest_to_go, divergence);
    }
    std::vector<double> factors;
    for (const Layer& layer : layers_) {
      const double complexity =
          most_macs == 0.0 ? 0.0 : layer.macs * (1.0 - layer.sparsity()) / most_macs;
      const double divergence =
          furthest_to_go < kNoDivergence ? 0.0 : (layer.wanted - layer.sparsity()) / farthest;
      factors.push_back(0.5 * complexity + 0.5 * divergence);
    }
    return factors;
  }

  UpdateReport report(const Subject& subject, const Moment& moment) {
    UpdateReport report{
        .step = moment.step, .target = moment.sparsity, .notes = std::exchange(notes_, {})};
    std::string found;
    std::string dense;
    for (const nn::NamedParameter& weight :
         prunable_weights(subject.model, subject.settings.exclude)) {
      LayerReport of_weight{weight.name, weight.parameter->numel(), weight.parameter->nnz()};
      const auto layer =
          std::ranges::find(layers_, weight.name, [](const Layer& one) { return one.site.name; });
      if (layer != layers_.end() && layer->kept < layer->size) {
        found += cat(found.empty() ? "" : ",", weight.name, "=", layer->kept, ":", layer->size);
        of_weight.changed = std::exchange(changed_[weight.name], 0);
      } else {
        dense += (dense.empty() ? "" : ",") + weight.name;
      }
      report.layers.push_back(of_weight);
    }
    report.notes.push_back(
        cat("found --layer-pattern ", found, dense.empty() ? "" : " --exclude " + dense));
    report.reached = report.sparsity();
    tell_cost(subject, moment.sparsity, report);
    return report;
  }

  NmSearchOptions options_;
  std::vector<Layer> layers_;
  int64_t total_ = 0;  // prunable weights, also of layers that can't have the pattern
  std::map<std::string, int64_t> changed_;  // entries of masks since the last report
  std::vector<std::string> notes_;
  std::map<std::string, Tensor> saved_;  // until the layers are found
  std::optional<BudgetSearch> budget_;   // of a target that is no sparsity
  std::map<std::vector<int64_t>, double> costs_;
};

}  // namespace

std::shared_ptr<Action> n_m_search(const NmSearchOptions& options) {
  return std::make_shared<NmSearch>(options);
}

}  // namespace espalier::prune
