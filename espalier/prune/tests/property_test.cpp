// SPDX-License-Identifier: Apache-2.0
/// What every registered method must do with every pattern it says it can produce, on a multilayer
/// perceptron and on a convolutional network, in a short training with momentum and weight decay.
#include <algorithm>
#include <numeric>
#include <set>

#include <gtest/gtest.h>

#include <espalier/nn/train/sgd.h>
#include <espalier/prune/tests/killed_run.h>
#include <espalier/prune/tests/short_runs.h>
#include <espalier/prune/tests/tiny.h>
#include <espalier/prune/update/update.h>

namespace espalier::prune {
namespace {

using testing::kept_units;
using testing::mask_of;
using testing::Masks;
using testing::masks_of;
using testing::restore;
using testing::SaveAt;
using testing::tiny_conv_net;
using testing::tiny_loader;
using testing::tiny_mlp;

constexpr int64_t kEpochs = 3;

struct Case {
  std::string method;
  std::string pattern;
  bool convolutions = false;
};

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const Method& method : methods()) {
    if (method.when == When::Runtime) continue;  // no masks: runtime_property_test.cpp
    if (method.facts().stays) continue;          // no masks: factors_property_test.cpp
    for (const std::string& pattern : method.patterns) {
      for (bool convolutions : {false, true}) {
        // The perceptron has no batch norm.
        if (method.facts().needs_norm && !convolutions) continue;
        cases.push_back({method.name, pattern, convolutions});
      }
    }
  }
  return cases;
}

std::string case_name(const ::testing::TestParamInfo<Case>& info) {
  std::string name =
      info.param.method + "_" + info.param.pattern + (info.param.convolutions ? "_conv" : "_mlp");
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  }
  return name;
}

/// Keeps what the model looked like after every step.
class Watcher : public nn::TrainHook {
 public:
  void before_training(nn::TrainState& state) override { masks.push_back(masks_of(state.model)); }
  void after_step(nn::TrainState& state) override { masks.push_back(masks_of(state.model)); }
  std::vector<Masks> masks;
};

class EveryMethod : public ::testing::TestWithParam<Case> {
 protected:
  std::unique_ptr<nn::Sequential> model() const {
    return GetParam().convolutions ? tiny_conv_net() : tiny_mlp();
  }

  PruneInputs inputs() const { return {.input_shape = {3, 8, 8}, .seed = 4}; }

  /// Half of the weights, several updates where the method has several.
  PruneSettings settings() const {
    const Method& chosen = method(GetParam().method);
    std::map<std::string, std::string> given = {{"pattern", GetParam().pattern}};
    // N:M patterns imply theirs.
    if (make_pattern(GetParam().pattern)->cell().size == 0) given["sparsity"] = "0.5";
    const Timeline plain = choose_method(chosen, parse_settings(chosen, given)).timeline();
    if (std::ranges::any_of(plain.events,
                            [](const Event& one) { return one.action->facts().divides; })) {
      given["min-per-layer"] = "1";
    }
    given.merge(testing::short_options(chosen));
    return parse_settings(chosen, given);
  }

  std::unique_ptr<Pruner> pruner() const {
    return make_pruner(GetParam().method, settings(), inputs());
  }

  std::unique_ptr<nn::Optimizer> optimizer(nn::Module& net) const {
    return std::make_unique<nn::Sgd>(net, nn::SgdOptions{.lr = 0.02, .momentum = 0.9}, 1e-2);
  }

  void train(nn::Module& net,
             nn::Optimizer& optimizer,
             const std::vector<nn::TrainHook*>& hooks,
             std::optional<nn::TrainProgress> resume = {}) const {
    auto loader = tiny_loader();
    nn::fit(net,
            optimizer,
            nn::ConstantLr(0.02),
            *loader,
            hooks,
            {.epochs = kEpochs, .resume = std::move(resume)});
  }

  /// The method's last mask update.
  UpdateParts last_update() const {
    const MethodChoice choice = choose_method(method(GetParam().method), settings());
    return last_update_of(choice.timeline()).value_or(UpdateParts{});
  }

  /// Steps at which the method's plan goes to another sparsity than the one before; of several
  /// moments at one step each counts, in their order.
  std::set<int64_t> turns() const {
    const MethodChoice choice = choose_method(method(GetParam().method), settings());
    const TrainingLength length{.steps = 4 * kEpochs, .steps_per_epoch = 4};
    std::map<int64_t, std::vector<double>> plan;
    for (const Event& event : choice.timeline().events) {
      if (!event.moments) continue;
      for (const Moment& one : event.moments->moments(length, Sparsity(0.5))) {
        plan[one.step].push_back(one.sparsity.value());
      }
    }
    std::set<int64_t> steps;
    std::optional<double> before;
    for (const auto& [step, sparsities] : plan) {
      for (const double sparsity : sparsities) {
        if (before && *before != sparsity) steps.insert(step);
        before = sparsity;
      }
    }
    return steps;
  }

  /// The places of the dense network at which this pattern prunes.
  MaskUpdate sites_of(nn::Module& dense) const {
    return {dense, make_pattern(GetParam().pattern), settings_, inputs_, last_update().sites};
  }

  /// What the method's allocation, where it looks at sizes alone, gives to each place; else
  /// nothing.
  std::vector<int64_t> budgets_of(const std::vector<Site>& sites) const {
    std::shared_ptr<Allocation> allocation = last_update().allocation;
    // What is chosen in training is chosen in each layer alone, unless it is the pattern's N.
    if (!allocation && make_pattern(GetParam().pattern)->speedup() == Speedup::SemiStructured) {
      return {};
    }
    if (!allocation) allocation = make_allocation("uniform");
    if (allocation->looks_at_scores()) return {};
    std::vector<SiteScores> views;
    for (const Site& site : sites) {
      views.push_back({site.name, site.shape, site.units, {}, {}, {}});
    }
    return allocation->keep(views, Sparsity(0.5));
  }

 private:
  PruneSettings settings_ = {};
  PruneInputs inputs_ = {.input_shape = {3, 8, 8}, .seed = 4};
};

int64_t kept_weights(const Masks& masks) {
  int64_t kept = 0;
  for (const auto& [name, mask] : masks) kept += std::accumulate(mask.begin(), mask.end(), 0);
  return kept;
}

TEST_P(EveryMethod, KeepsExactCountsValidUnitsAndNoEmptyLayer) {
  auto net = model();
  auto hook = pruner();
  auto sgd = optimizer(*net);
  train(*net, *sgd, {hook.get()});
  const Masks masks = masks_of(*net);
  auto dense = model();
  const MaskUpdate update = sites_of(*dense);
  const UpdateParts parts = last_update();

  int64_t kept_weights = 0;
  int64_t weights = 0;
  int64_t largest_unit = 0;
  int64_t kept_count_of_units = 0;
  int64_t units = 0;
  const std::vector<int64_t> budgets = budgets_of(update.sites());
  for (size_t s = 0; s < update.sites().size(); ++s) {
    const Site& site = update.sites()[s];
    const std::vector<int> kept = kept_units(site, masks);
    const std::vector<int64_t> sizes = site.unit_weights();
    const int64_t count = std::accumulate(kept.begin(), kept.end(), int64_t{0});
    EXPECT_GE(count, 1) << site.name;
    kept_count_of_units += count;
    units += site.units;
    if (site.cell.size > 0) {
      for (size_t i = 0; i < kept.size(); i += static_cast<size_t>(site.cell.size)) {
        const auto begin = kept.begin() + static_cast<std::ptrdiff_t>(i);
        EXPECT_EQ(std::accumulate(begin, begin + site.cell.size, int64_t{0}), site.cell.keep);
      }
    } else if (parts.compete_in_rows) {  // exact in every row, or the layer's number spread evenly
      const int64_t row = site.units / site.shape[0];
      const bool own = parts.allocation->looks_at_scores();
      for (int64_t first = 0; first < site.units; first += row) {
        const auto begin = kept.begin() + first;
        const int64_t of_row = std::accumulate(begin, begin + row, int64_t{0});
        const int64_t even = own ? count / site.shape[0] : kept_count(row, Sparsity(0.5));
        const bool one_more = own && first / row < count % site.shape[0];
        EXPECT_EQ(of_row, even + (one_more ? 1 : 0)) << site.name;
      }
    } else if (!budgets.empty()) {
      EXPECT_EQ(count, budgets[s]) << site.name;
    }
    for (size_t u = 0; u < kept.size(); ++u) {
      weights += sizes[u];
      kept_weights += kept[u] * sizes[u];
      largest_unit = std::max(largest_unit, sizes[u]);
    }
  }
  if (update.sites().front().cell.size > 0) return;
  if (!parts.allocation || !parts.allocation->looks_at_scores()) return;
  const bool coupled = make_pattern(GetParam().pattern)->coupled();
  if (parts.allocation->sparsity_of(coupled) == SparsityOf::Nothing) return;  // scores alone decide
  if (parts.allocation->sparsity_of(coupled) == SparsityOf::Channels) {
    EXPECT_EQ(kept_count_of_units, kept_count(units, Sparsity(0.5)));
  } else {
    if (coupled) {
      // A weight between two channels belongs to both, but is one weight.
      weights = kept_weights = 0;
      for (const nn::NamedParameter& weight : update.weights()) {
        const std::vector<int>& mask = masks.at(weight.name);
        weights += static_cast<int64_t>(mask.size());
        kept_weights += std::accumulate(mask.begin(), mask.end(), int64_t{0});
      }
    }
    const int64_t budget = kept_count(weights, Sparsity(0.5));
    EXPECT_LE(kept_weights, budget);
    EXPECT_GT(kept_weights, budget - largest_unit);
  }
}

TEST_P(EveryMethod, UnitsStandOrFallTogether) {
  auto net = model();
  auto hook = pruner();
  auto sgd = optimizer(*net);
  train(*net, *sgd, {hook.get()});
  const Masks masks = masks_of(*net);
  auto dense = model();
  const MaskUpdate update = sites_of(*dense);
  const bool coupled = make_pattern(GetParam().pattern)->coupled();
  for (const Site& site : update.sites()) {
    const std::vector<int> kept = kept_units(site, masks);
    for (const SitePart& part : site.parts) {
      const std::vector<int>& mask = masks.at(part.name);
      for (size_t i = 0; i < mask.size(); ++i) {
        const int64_t unit = part.units.unit(static_cast<int64_t>(i));
        if (unit < 0) continue;
        const int expected = kept[static_cast<size_t>(unit)];
        // Where two channel groups meet in one weight, either may remove it.
        if (expected == 0 || !coupled) {
          EXPECT_EQ(mask[i], expected) << part.name << " " << i;
        }
      }
    }
  }
}

TEST_P(EveryMethod, WhatIsGoneStaysGoneOrTheCountIsThePlans) {
  auto net = model();
  auto hook = pruner();
  auto sgd = optimizer(*net);
  Watcher watcher;
  train(*net, *sgd, {hook.get(), &watcher});
  const bool regrows = method(GetParam().method).facts().revives;
  const std::set<int64_t> turning = turns();
  const std::shared_ptr<Allocation> growing = last_update().growth_allocation;
  const bool shared = growing && growing->looks_at_scores();  // layers' numbers move
  for (size_t step = 1; step < watcher.masks.size(); ++step) {
    if (shared) {
      if (!turning.contains(static_cast<int64_t>(step) - 1)) {
        ASSERT_EQ(kept_weights(watcher.masks[step]), kept_weights(watcher.masks[step - 1]));
      }
      continue;
    }
    for (const auto& [name, mask] : watcher.masks[step]) {
      const std::vector<int>& before = watcher.masks[step - 1].at(name);
      if (regrows) {
        if (turning.contains(static_cast<int64_t>(step) - 1)) continue;
        ASSERT_EQ(std::accumulate(mask.begin(), mask.end(), 0),
                  std::accumulate(before.begin(), before.end(), 0))
            << name;
        continue;
      }
      for (size_t i = 0; i < mask.size(); ++i) ASSERT_LE(mask[i], before[i]) << name;
    }
  }
}

TEST_P(EveryMethod, RemovedWeightsAndTheirMomentumAreZero) {
  auto net = model();
  auto hook = pruner();
  auto sgd = optimizer(*net);
  train(*net, *sgd, {hook.get()});
  bool any = false;
  for (const nn::NamedParameter& one : net->named_parameters()) {
    if (!one.parameter->masked()) continue;
    const std::vector<int> mask = mask_of(*one.parameter);
    const auto value = one.parameter->value.value().to_vector<float>();
    const auto momentum = sgd->slots(one.name).at("momentum_buffer").to_vector<float>();
    for (size_t i = 0; i < mask.size(); ++i) {
      if (mask[i] == 1) continue;
      any = true;
      ASSERT_EQ(value[i], 0.0F) << one.name;
      ASSERT_EQ(momentum[i], 0.0F) << one.name;
    }
  }
  EXPECT_TRUE(any);
}

TEST_P(EveryMethod, IsDeterministicAndIgnoresExcludedLayers) {
  const std::string first = GetParam().convolutions ? "3" : "3.weight";
  PruneSettings without = settings();
  without.exclude = {first};
  std::vector<Masks> runs;
  for (int run = 0; run < 2; ++run) {
    auto net = model();
    auto hook = make_pruner(GetParam().method, without, inputs());
    auto sgd = optimizer(*net);
    train(*net, *sgd, {hook.get()});
    runs.push_back(masks_of(*net));
  }
  EXPECT_EQ(runs[0], runs[1]);
  if (make_pattern(GetParam().pattern)->coupled()) return;  // its inputs go with its neighbours
  for (int kept : runs[0].at("3.weight")) ASSERT_EQ(kept, 1);
}

TEST_P(EveryMethod, AKilledRunEndsWithTheSameBits) {
  auto net = model();
  auto hook = pruner();
  auto sgd = optimizer(*net);
  // Of 12 steps; Deep Compression shares its weights at step 8.
  SaveAt early(5, *hook);
  SaveAt late(10, *hook);
  train(*net, *sgd, {hook.get(), &early, &late});
  const auto a = net->state_dict();
  for (const SaveAt* save : {&early, &late}) {
    SCOPED_TRACE(save == &early ? "killed early" : "killed late");
    auto resumed = GetParam().convolutions ? tiny_conv_net(77) : tiny_mlp(77);
    auto hook2 = pruner();
    hook2->attach(*resumed);
    auto sgd2 = optimizer(*resumed);
    restore(save->saved, *resumed, *sgd2, *hook2);
    train(*resumed, *sgd2, {hook2.get()}, save->saved.progress);

    EXPECT_EQ(masks_of(*net), masks_of(*resumed));
    const auto b = resumed->state_dict();
    ASSERT_EQ(a.size(), b.size());
    for (const auto& [name, tensor] : a) {
      EXPECT_EQ(tensor.to_vector<double>(), b.at(name).to_vector<double>()) << name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Registry, EveryMethod, ::testing::ValuesIn(all_cases()), case_name);

}  // namespace
}  // namespace espalier::prune
