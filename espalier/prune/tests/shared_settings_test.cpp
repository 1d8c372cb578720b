// SPDX-License-Identifier: Apache-2.0
/// The settings that all methods share are heeded by every method, or refused by name: never taken
/// and forgotten.
#include <numeric>

#include <gtest/gtest.h>

#include <espalier/nn/train/sgd.h>
#include <espalier/prune/budgets/budget.h>
#include <espalier/prune/tests/short_runs.h>
#include <espalier/prune/update/update.h>

namespace espalier::prune {
namespace {

using testing::kept_units;
using testing::Masks;
using testing::masks_of;
using testing::tiny_conv_net;
using testing::tiny_loader;

constexpr int64_t kEpochs = 3;
const PruneInputs kInputs = {.input_shape = {3, 8, 8}, .seed = 4};

/// A training of a method under shared settings.
struct MethodRun {
  const Method* method;
  std::string pattern;
  std::unique_ptr<nn::Sequential> net = tiny_conv_net();
  Masks masks = {};
  std::vector<Site> sites = {};
};

/// Called with every run that came to its end; those that were refused must name `setting`, the
/// last of `given`. Returns how many were not refused.
template <class Check>
int for_every_method(const OptionTexts& given, const std::string& setting, const Check& check) {
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
      MethodRun run{.method = &method, .pattern = pattern};
      try {
        const auto hook = make_pruner(method.name, parse_settings(method, texts), kInputs);
        nn::Sgd sgd(*run.net, {.lr = 0.02, .momentum = 0.9});
        auto loader = tiny_loader();
        nn::fit(*run.net, sgd, nn::ConstantLr(0.02), *loader, {hook.get()}, {.epochs = kEpochs});
      } catch (const Error& error) {
        EXPECT_NE(std::string(error.what()).find(setting), std::string::npos) << error.what();
        continue;
      }
      ++heeded;
      run.masks = masks_of(*run.net);
      const auto dense = tiny_conv_net();
      const MethodChoice choice = choose_method(method, parse_settings(method, texts));
      const auto last = last_update_of(choice.timeline());
      const PruneSettings plain;
      run.sites = MaskUpdate(*dense,
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

TEST(SharedSettings, ATargetOfMacsIsMet) {
  const auto dense = tiny_conv_net();
  const auto budget = make_budget(BudgetKind::Macs, *dense, kInputs, 1);
  const double whole = budget->cost(*dense->clone());
  const int heeded =
      for_every_method({{"target", "macs=0.5"}}, "target", [&](const MethodRun& run) {
        const double left = budget->cost(*run.net->clone()) / whole;
        EXPECT_LE(left, 0.5);
        // A channel of the second layer has a sixteenth of its products, and of the readers'.
        EXPECT_GT(left, 0.5 - 0.125);
      });
  EXPECT_GT(heeded, 40);
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
