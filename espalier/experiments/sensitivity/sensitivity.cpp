// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/sensitivity/sensitivity.h>

#include <algorithm>
#include <limits>
#include <memory>

#include <espalier/core/error.h>
#include <espalier/core/random.h>
#include <espalier/experiments/interrupt.h>
#include <espalier/nn/introspect/counting.h>
#include <espalier/prune/ground/select.h>
#include <espalier/prune/patterns/layer_patterns.h>
#include <espalier/prune/scores/score.h>
#include <espalier/prune/update/mask_update.h>

namespace espalier::experiments {
namespace {

// One weight with the scores of its units: cut to a sparsity, and put back.
class Layer {
 public:
  Layer(Network& network, const nn::NamedParameter& weight, const std::string& pattern)
      : parameter_(*weight.parameter), before_(weight.parameter->clone()) {
    const prune::PruneSettings settings;
    prune::PruneInputs inputs;
    inputs.input_shape = network.sample();
    const prune::LayerPatterns patterns(prune::make_pattern(pattern));
    update_ = std::make_unique<prune::MaskUpdate>(*network.module,
                                                  patterns,
                                                  settings,
                                                  inputs,
                                                  prune::SiteRules(),
                                                  std::vector<nn::NamedParameter>{weight});
    Rng rng(0, "sensitivity");
    const auto score = prune::magnitude_score();
    scores_ = update_->scores(*score, rng);
    alive_ = update_->sites().front().alive();
  }

  // Never the last unit: a layer with nothing left ends every path.
  void cut(double sparsity) {
    const auto units = static_cast<int64_t>(alive_.size());
    const int64_t there = std::count(alive_.begin(), alive_.end(), uint8_t{1});
    const int64_t keep = std::clamp<int64_t>(
        prune::kept_count(units, prune::Sparsity(sparsity)), std::min<int64_t>(1, there), there);
    update_->keep_units({prune::top_k(scores_.front(), alive_, keep)});
    update_->set_masks();
  }

  void restore() {
    parameter_.set_support(nullptr);
    Tensor value = parameter_.value.value();  // the same memory
    value.copy_(before_.value.value());
    parameter_.set_support(before_.support);
  }

 private:
  nn::Parameter& parameter_;
  nn::Parameter before_;
  std::unique_ptr<prune::MaskUpdate> update_;
  std::vector<std::vector<double>> scores_;
  std::vector<uint8_t> alive_;
};

void check_options(const SensitivityOptions& options) {
  ESPALIER_CHECK(!options.sparsities.empty(),
                 ValueError,
                 "sensitivity: expected at least one sparsity, got none");
  double before = 0.0;
  for (const double sparsity : options.sparsities) {
    ESPALIER_CHECK(sparsity > before && sparsity < 1.0,
                   ValueError,
                   "sensitivity: expected sparsities that rise between 0 and 1, got ",
                   sparsity,
                   " behind ",
                   before);
    before = sparsity;
  }
  const auto pattern = prune::make_pattern(options.pattern);
  ESPALIER_CHECK(!pattern->coupled() && pattern->cell().size == 0,
                 ValueError,
                 "sensitivity: expected a pattern of parts of one weight at any sparsity "
                 "(unstructured, filter, kernel, stripe, 4x1), got ",
                 options.pattern);
}

// A layer that goes up to the next sparsity.
struct Step {
  double accuracy = 0.0;  // the lowest of the layer's curve up to here
  int64_t weights = 0;
  size_t layer = 0;
  size_t index = 0;  // of the sparsity
};

// The cheapest first; of equals those of large layers, which give most.
std::vector<Step> steps_of(const std::vector<LayerCurve>& layers) {
  std::vector<Step> out;
  for (size_t i = 0; i < layers.size(); ++i) {
    double lowest = std::numeric_limits<double>::infinity();
    for (size_t s = 0; s < layers[i].accuracy.size(); ++s) {
      lowest = std::min(lowest, layers[i].accuracy[s]);
      out.push_back({lowest, layers[i].weights, i, s});
    }
  }
  std::stable_sort(out.begin(), out.end(), [](const Step& a, const Step& b) {
    return a.accuracy != b.accuracy ? a.accuracy > b.accuracy : a.weights > b.weights;
  });
  return out;
}

}  // namespace

Sensitivity sensitivity_of(Network& network,
                           const SensitivityOptions& options,
                           const std::function<double()>& accuracy,
                           const std::function<void(int64_t, int64_t)>& progress) {
  check_options(options);
  Sensitivity out;
  out.sparsities = options.sparsities;
  out.floor = options.floor;
  const std::vector<nn::NamedParameter> weights = nn::prunable_parameters(*network.module);
  std::vector<std::unique_ptr<Layer>> layers;
  for (const nn::NamedParameter& weight : weights) {
    layers.push_back(std::make_unique<Layer>(network, weight, options.pattern));
  }
  constexpr int64_t kMostJoint = 16;  // halvings of a list of at most 65,535 steps
  const auto most =
      static_cast<int64_t>(1 + weights.size() * options.sparsities.size()) + kMostJoint;
  const auto evaluated = [&] {
    stop_if_interrupted("before the curves were complete; nothing is written");
    const double value = accuracy();
    progress(++out.evaluations, most);
    return value;
  };
  out.accuracy = evaluated();
  for (size_t i = 0; i < layers.size(); ++i) {
    LayerCurve curve;
    curve.name = weights[i].name;
    curve.weights = weights[i].parameter->numel();
    for (const double sparsity : options.sparsities) {
      layers[i]->cut(sparsity);
      curve.accuracy.push_back(evaluated());
      layers[i]->restore();
    }
    out.layers.push_back(std::move(curve));
  }

  const std::vector<Step> steps = steps_of(out.layers);
  const auto total_sparsity = [&] {
    int64_t all = 0, kept = 0;
    for (const nn::NamedParameter& weight : weights) {
      all += weight.parameter->numel();
      kept += weight.parameter->nnz();
    }
    return all == 0 ? 0.0 : 1.0 - static_cast<double>(kept) / static_cast<double>(all);
  };
  // Takes so many steps at once, and keeps their budgets where they meet the floor.
  out.budget_accuracy = out.accuracy;
  out.budget_sparsity = total_sparsity();
  const auto meets = [&](size_t count) {
    std::vector<double> budgets(layers.size(), 0.0);
    for (size_t k = 0; k < count; ++k) {
      budgets[steps[k].layer] = out.sparsities[steps[k].index];
    }
    for (size_t i = 0; i < layers.size(); ++i) {
      if (budgets[i] > 0.0) layers[i]->cut(budgets[i]);
    }
    const double reached = evaluated();
    const double sparsity = total_sparsity();
    for (const auto& layer : layers) layer->restore();
    if (reached < options.floor) return false;
    for (size_t i = 0; i < layers.size(); ++i) out.layers[i].budget = budgets[i];
    out.budget_accuracy = reached;
    out.budget_sparsity = sparsity;
    return true;
  };
  size_t good = 0, bad = steps.size() + 1;
  while (bad - good > 1) {
    const size_t middle = good + (bad - good) / 2;
    (meets(middle) ? good : bad) = middle;
  }
  return out;
}

}  // namespace espalier::experiments
