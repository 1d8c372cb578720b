// SPDX-License-Identifier: Apache-2.0
/// The settings that all methods share are heeded by every method, or refused by name: never taken
/// and forgotten.
#include <numeric>

#include <gtest/gtest.h>

#include <espalier/nn/train/sgd.h>
#include <espalier/prune/budgets/budget.h>
#include <espalier/prune/tests/short_runs.h>
#include <espalier/prune/update/to_budget.h>
#include <espalier/prune/update/update.h>

namespace espalier::prune {
namespace {

using testing::kept_units;
using testing::Masks;
using testing::masks_of;
using testing::tiny_conv_net;
using testing::tiny_loader;
using testing::tiny_residual_net;

constexpr int64_t kEpochs = 3;
const PruneInputs kInputs = {.input_shape = {3, 8, 8}, .seed = 4};

/// A training of a method under shared settings.
struct MethodRun {
  const Method* method;
  std::string pattern;
  std::unique_ptr<nn::Sequential> net = {};
  std::unique_ptr<nn::Sequential> dense = {};  // as it was
  Masks masks = {};
  std::vector<std::string> notes = {};  // of the last update
  std::vector<Site> sites = {};
};

/// Called with every run that came to its end; those that were refused must name `setting`, the
/// last of `given`. Returns how many were not refused.
template <class Check>
int for_every_method(const OptionTexts& given,
                     const std::string& setting,
                     const Check& check,
                     std::unique_ptr<nn::Sequential> (*make_net)(uint64_t) = tiny_conv_net) {
  int heeded = 0;
  for (const Method& method : methods()) {
    if (method.when == When::Runtime || method.facts().stays) continue;  // mask nothing
    for (const std::string& pattern : method.patterns) {
      const bool is_default = pattern == method.patterns.front();
      if (!is_default && pattern != "channel" && pattern != "filter") continue;
      if (make_pattern(pattern)->cell().size != 0) continue;  // N:M says what each layer keeps
      if (setting == "round-channels-to" && !make_pattern(pattern)->coupled()) continue;
      SCOPED_TRACE(cat(method.name, " ", pattern));
      OptionTexts texts = testing::short_options(method);
      texts["pattern"] = pattern;
      texts["min-per-layer"] = "1";
      for (const auto& [name, text] : given) texts[name] = text;
      MethodRun run{.method = &method, .pattern = pattern, .net = make_net(3)};
      try {
        const auto hook = make_pruner(method.name, parse_settings(method, texts), kInputs);
        nn::Sgd sgd(*run.net, {.lr = 0.02, .momentum = 0.9});
        auto loader = tiny_loader();
        nn::fit(*run.net, sgd, nn::ConstantLr(0.02), *loader, {hook.get()}, {.epochs = kEpochs});
        if (!hook->updates().empty()) run.notes = hook->updates().back().notes;
      } catch (const Error& error) {
        const std::string text = error.what();
        // A network of few inputs has no sixteen of them in a row.
        if (text == cat("prune: no layer of the model can have the pattern ", pattern)) continue;
        EXPECT_NE(text.find(setting), std::string::npos) << text;
        continue;
      }
      ++heeded;
      run.masks = masks_of(*run.net);
      run.dense = make_net(3);
      const MethodChoice choice = choose_method(method, parse_settings(method, texts));
      const auto last = last_update_of(choice.timeline());
      const PruneSettings plain;
      run.sites = MaskUpdate(*run.dense,
                             make_pattern(pattern),
                             plain,
                             kInputs,
                             last ? last->sites : UpdateParts{}.sites)
                      .sites();
      check(run);
    }
  }
  return heeded;
}

int64_t count_of(const Site& site, const Masks& masks) {
  const std::vector<int> kept = kept_units(site, masks);
  return std::accumulate(kept.begin(), kept.end(), int64_t{0});
}

/// What the cheapest and the dearest unit would add to what a run has left, as shares of the dense
/// network's MACs.
struct UnitCosts {
  double least = 1.0;
  double most = 0.0;
};

UnitCosts costs_of_more(const MethodRun& run, const std::string& target) {
  const LayerPatterns pattern(make_pattern(run.pattern));
  const PruneSettings settings{.sparsity = Sparsity(0.5), .target = target};
  const auto parts = last_update_of(choose_method(*run.method, OptionTexts()).timeline());
  MaskUpdate update(
      *run.dense, pattern, settings, kInputs, parts ? parts->sites : UpdateParts{}.sites);
  BudgetSearch search({*run.dense, nullptr, pattern, settings, kInputs});
  std::vector<std::vector<uint8_t>> kept;
  for (const Site& site : update.sites()) {
    const std::vector<int> flags = kept_units(site, run.masks);
    kept.emplace_back(flags.begin(), flags.end());
  }
  update.keep_units(kept);
  const double left = search.cost_of(update);
  UnitCosts costs;
  for (std::vector<uint8_t>& site : kept) {
    const auto gone = std::ranges::find(site, uint8_t{0});
    if (gone == site.end()) continue;
    *gone = 1;
    update.keep_units(kept);
    *gone = 0;
    const double more = (search.cost_of(update) - left) / search.dense_cost();
    costs.least = std::min(costs.least, more);
    costs.most = std::max(costs.most, more);
  }
  return costs;
}

/// Of channels, filters, .. the cheapest that is gone would be too much, or the last update tells
/// why it can't come back; of single weights as many as there are layers, whose numbers step
/// together where layers are of one size, and of a row's as many as there are rows.
void expect_met_to_a_unit(const MethodRun& run, const std::string& target, double share) {
  const auto budget = make_budget(BudgetKind::Macs, *run.dense, kInputs, 1);
  const double left = budget->cost(*run.net->clone()) / budget->cost(*run.dense->clone());
  EXPECT_LE(left, share + 1e-9);
  if (run.pattern == "kernel-pattern") return;  // whose units are a kernel of every filter
  const UnitCosts costs = costs_of_more(run, target);
  const bool structured = std::ranges::all_of(
      run.sites, [](const Site& site) { return site.units < site.shape.numel(); });
  if (structured) {
    const bool told = std::ranges::any_of(
        run.notes, [](const std::string& note) { return note.starts_with("a unit more"); });
    EXPECT_TRUE(told || left + costs.least > share) << left << " and " << costs.least;
    return;
  }
  const auto parts = last_update_of(choose_method(*run.method, OptionTexts()).timeline());
  int64_t step = 0;
  for (const Site& site : run.sites) {
    step += parts && parts->compete_in_rows ? site.shape[0] : 1;
  }
  EXPECT_GT(left + costs.most * static_cast<double>(step), share);
}

TEST(SharedSettings, ATargetOfMacsIsMetToAUnit) {
  for (const auto& [target, share] :
       std::map<std::string, double>{{"macs=0.5", 0.5}, {"macs=0.3", 0.3}}) {
    const auto check = [&](const MethodRun& run) { expect_met_to_a_unit(run, target, share); };
    EXPECT_GT(for_every_method({{"target", target}}, "target", check), 40);
  }
}

// Channels of residual sums cost much more than those inside of a block.
TEST(SharedSettings, ATargetOfMacsIsMetToAUnitOfResidualNetworks) {
  const auto check = [](const MethodRun& run) { expect_met_to_a_unit(run, "macs=0.4", 0.4); };
  EXPECT_GT(for_every_method({{"target", "macs=0.4"}}, "target", check, tiny_residual_net), 40);
}

TEST(SharedSettings, ALayersOwnSparsityIsMet) {
  const int heeded = for_every_method({{"sparsity", "0.5"}, {"layer-sparsity", "3=0.25"}},
                                      "layer-sparsity",
                                      [](const MethodRun& run) {
                                        for (const Site& site : run.sites) {
                                          if (!site.name.starts_with("3")) continue;
                                          EXPECT_EQ(count_of(site, run.masks),
                                                    kept_count(site.units, Sparsity(0.25)));
                                        }
                                      });
  EXPECT_GT(heeded, 40);
}

TEST(SharedSettings, NoLayerLosesMoreThanItMay) {
  const int heeded = for_every_method(
      {{"sparsity", "0.5"}, {"max-layer-sparsity", "0.55"}},
      "max-layer-sparsity",
      [](const MethodRun& run) {
        for (const Site& site : run.sites) {
          EXPECT_GE(count_of(site, run.masks), kept_count(site.units, Sparsity(0.55))) << site.name;
        }
      });
  EXPECT_GT(heeded, 40);
}

TEST(SharedSettings, EveryLayerKeepsSoManyUnits) {
  const int heeded = for_every_method(
      {{"sparsity", "0.78"}, {"min-per-layer", "3"}}, "min-per-layer", [](const MethodRun& run) {
        for (const Site& site : run.sites) {
          EXPECT_GE(count_of(site, run.masks), std::min<int64_t>(3, site.units)) << site.name;
        }
      });
  EXPECT_GT(heeded, 40);
}

TEST(SharedSettings, LayersKeepMultiplesOfSoManyChannels) {
  const int heeded = for_every_method({{"sparsity", "0.4"}, {"round-channels-to", "4"}},
                                      "round-channels-to",
                                      [](const MethodRun& run) {
                                        for (const Site& site : run.sites) {
                                          EXPECT_EQ(count_of(site, run.masks) % 4, 0) << site.name;
                                        }
                                      });
  EXPECT_GT(heeded, 15);
}

}  // namespace
}  // namespace espalier::prune
