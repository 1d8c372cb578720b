// SPDX-License-Identifier: Apache-2.0
// `sensitivity`: curves of layers alone, and budgets that together meet a floor.
#include <espalier/experiments/sensitivity/sensitivity.h>

#include <cmath>

#include <espalier/core/error.h>
#include <espalier/experiments/failure.h>
#include <espalier/nn/introspect/counting.h>

#include "command_line.h"

namespace espalier::experiments {
namespace {

using espalier::testing::slurp;
using espalier::testing::TemporaryFolder;
using Json = nlohmann::json;

// An "accuracy" that falls by what is gone of each layer: by its share times a weight by index.
double made_up_accuracy(Network& network) {
  double out = 1.0;
  double weight = 0.1;
  for (const nn::NamedParameter& one : nn::prunable_parameters(*network.module)) {
    const double kept =
        static_cast<double>(one.parameter->nnz()) / static_cast<double>(one.parameter->numel());
    out -= weight * (1.0 - kept);
    weight += 0.1;
  }
  return out;
}

TEST(Sensitivity, CutsOneLayerAloneAndPutsItBack) {
  Network network = fresh_network("lenet300");
  const auto before = network.module->state_dict();
  std::map<std::string, Tensor> copies;
  for (const auto& [name, tensor] : before) copies.emplace(name, tensor.clone());
  const Sensitivity found = sensitivity_of(
      network,
      {.sparsities = {0.5, 0.9}, .floor = 0.7},
      [&] { return made_up_accuracy(network); },
      [](int64_t done, int64_t most) { EXPECT_LE(done, most); });
  EXPECT_EQ(found.accuracy, 1.0);
  ASSERT_EQ(found.layers.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    const double weight = 0.1 * static_cast<double>(i + 1);
    // Counts are rounded to whole weights.
    EXPECT_NEAR(found.layers[i].accuracy[0], 1.0 - weight * 0.5, 1e-3);
    EXPECT_NEAR(found.layers[i].accuracy[1], 1.0 - weight * 0.9, 1e-3);
  }
  // Alone the steps come to 0.95, 0.91 (first layer), 0.9 (second), 0.85 (third), ..; the first
  // three together to 1 - 0.09 - 0.1 = 0.81, and with the fourth to 0.66, which is below the floor.
  EXPECT_EQ(found.layers[0].budget, 0.9);
  EXPECT_EQ(found.layers[1].budget, 0.5);
  EXPECT_EQ(found.layers[2].budget, 0.0);
  EXPECT_NEAR(found.budget_accuracy, 0.81, 1e-3);
  EXPECT_GT(found.budget_sparsity, 0.5);
  for (const auto& [name, tensor] : network.module->state_dict()) {
    EXPECT_EQ(tensor.to_vector<float>(), copies.at(name).to_vector<float>()) << name;
  }
}

TEST(Sensitivity, OfAFloorThatNothingMeetsHasNoBudgets) {
  Network network = fresh_network("lenet300");
  const Sensitivity found = sensitivity_of(
      network,
      {.sparsities = {0.5}, .floor = 1.1},
      [&] { return made_up_accuracy(network); },
      [](int64_t, int64_t) {});
  for (const LayerCurve& layer : found.layers) EXPECT_EQ(layer.budget, 0.0);
  EXPECT_EQ(found.budget_accuracy, 1.0);
  EXPECT_EQ(found.budget_sparsity, 0.0);
}

TEST(Sensitivity, RefusesSparsitiesThatFallAndPatternsOfAllLayers) {
  Network network = fresh_network("lenet300");
  const auto run = [&](const SensitivityOptions& options) {
    return sensitivity_of(
        network, options, [] { return 1.0; }, [](int64_t, int64_t) {});
  };
  EXPECT_THROW(run({.sparsities = {}}), ValueError);
  EXPECT_THROW(run({.sparsities = {0.9, 0.5}}), ValueError);
  EXPECT_THROW(run({.sparsities = {1.0}}), ValueError);
  EXPECT_THROW(run({.sparsities = {0.5}, .pattern = "channel"}), ValueError);
  EXPECT_THROW(run({.sparsities = {0.5}, .pattern = "2:4"}), ValueError);
}

TEST(SensitivityVerb, WritesJsonAndAPageAndACommandThatTrains) {
  const TemporaryFolder folder;
  ASSERT_EQ(espalier_command(tiny_training(folder / "run")).code, 0);
  const std::vector<std::string> command = {"sensitivity",
                                            "--weights",
                                            (folder / "run").string(),
                                            "--data",
                                            "synth",
                                            "--test-size",
                                            "20",
                                            "--sparsities",
                                            "0.5,0.9",
                                            "--drop",
                                            "0.1",
                                            "--out",
                                            (folder / "out").string(),
                                            "--json"};
  const Outcome outcome = espalier_command(command);
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json found = outcome.json();
  EXPECT_EQ(found.at("layers").size(), 20u);  // weights of ResNet-20
  EXPECT_GE(found.at("budget_accuracy").get<double>(), found.at("accuracy").get<double>() - 0.1);
  const Json written = Json::parse(slurp(folder / "out/sensitivity.json"));
  EXPECT_EQ(written.at("layers"), found.at("layers"));
  const std::string page = slurp(folder / "out/sensitivity.html");
  EXPECT_NE(page.find("<svg"), std::string::npos);
  EXPECT_NE(page.find("layer1.0.conv1.weight"), std::string::npos);
  EXPECT_EQ(page.find("http://") == std::string::npos ||
                page.find("http://www.w3.org") != std::string::npos,
            true);
  EXPECT_EQ(espalier_command(command).code, 0);  // its own files may be replaced

  std::vector<std::string> train = tiny_training(folder / "pruned", {"--prune", "magnitude"});
  train.insert(train.end(), {"--layer-sparsity", found.at("layer_sparsity").get<std::string>()});
  train.insert(train.end(), {"--weights", (folder / "run/model.safetensors").string()});
  const Outcome trained = espalier_command(train);
  EXPECT_EQ(trained.code, 0) << trained.err;
}

TEST(SensitivityVerb, RefusesBadUse) {
  EXPECT_EQ(espalier_command({"sensitivity"}).code, kExitBadUse);
  EXPECT_EQ(
      espalier_command({"sensitivity", "--weights", "a", "--floor", "0.5", "--drop", "0.1"}).code,
      kExitBadUse);
}

}  // namespace
}  // namespace espalier::experiments
