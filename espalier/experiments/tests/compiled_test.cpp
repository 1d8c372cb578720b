// SPDX-License-Identifier: Apache-2.0
// `eval --compiled` and `bench infer --compiled`: the same network, as a plan.
#include <espalier/experiments/failure.h>
#include <espalier/nn/models/registry.h>
#include <espalier/nn/plan/plan.h>

#include "command_line.h"

namespace espalier::experiments {
namespace {

using espalier::testing::TemporaryFolder;

TEST(Compiled, EvalGivesTheSameFiguresAndWritesThePlan) {
  const TemporaryFolder folder;
  const std::string weights = (folder / "model.safetensors").string();
  const std::string plan_file = (folder / "model.plan").string();
  const nn::ModelOptions options = {.width = 0.25};
  nn::save_model(weights, "resnet20", options, *nn::make_model("resnet20", options));
  const std::vector<std::string> command = {
      "eval", "--weights", weights, "--data", "synth", "--test-size", "40", "--json"};
  const Outcome plain = espalier_command(command);
  ASSERT_EQ(plain.code, kExitOk) << plain.err;
  std::vector<std::string> compiled_command = command;
  compiled_command.insert(compiled_command.end(), {"--compiled", "--plan", plan_file});
  const Outcome compiled = espalier_command(compiled_command);
  ASSERT_EQ(compiled.code, kExitOk) << compiled.err;
  auto a = plain.json();
  auto b = compiled.json();
  constexpr double kLossTol = 1e-4;
  EXPECT_NEAR(a.at("loss").get<double>(), b.at("loss").get<double>(), kLossTol);
  for (const char* key : {"loss", "images_per_second"}) {
    a.erase(key);
    b.erase(key);
  }
  EXPECT_EQ(a, b);
  EXPECT_EQ(nn::InferencePlan::load(plan_file).input_shape(), (Shape{3, 32, 32}));
}

TEST(Compiled, AGatedNetworkExecutesWhatItsGatesOpen) {
  const TemporaryFolder folder;
  const auto trained = folder / "gated";
  ASSERT_EQ(espalier_command(tiny_training(trained, {"--prune", "fbs", "--sparsity", "0.5"})).code,
            kExitOk);
  std::vector<std::string> command = {"eval",
                                      "--weights",
                                      (trained / "model.safetensors").string(),
                                      "--data",
                                      "synth",
                                      "--test-size",
                                      "20",
                                      "--json"};
  const auto plain = espalier_command(command).json();
  command.push_back("--compiled");
  const Outcome outcome = espalier_command(command);
  ASSERT_EQ(outcome.code, kExitOk) << outcome.err;
  const auto compiled = outcome.json();
  const auto executed = compiled.at("macs_executed").get<double>();
  EXPECT_LT(executed, 0.9 * compiled.at("macs_dense").get<double>());
  // Rounding may open another gate.
  EXPECT_NEAR(executed, plain.at("macs_executed").get<double>(), 0.01 * executed);
  EXPECT_EQ(compiled.at("correct"), plain.at("correct"));
}

TEST(Compiled, ClosedBlocksAreNotExecuted) {
  const TemporaryFolder folder;
  const auto trained = folder / "gated";
  const auto arguments = tiny_training(trained, {"--prune", "skipnet", "--open-bias", "-1"});
  ASSERT_EQ(espalier_command(arguments).code, kExitOk);
  const std::string weights = (trained / "model.safetensors").string();
  const auto plain = tiny_evaluation(weights);
  EXPECT_LT(plain.at("macs_executed").get<double>(), 0.5 * plain.at("macs_dense").get<double>());
  EXPECT_EQ(plain.at("macs_effective"), plain.at("macs_dense"));
  const Outcome compiled = espalier_command({"eval",
                                             "--weights",
                                             weights,
                                             "--data",
                                             "synth",
                                             "--test-size",
                                             "20",
                                             "--compiled",
                                             "--json"});
  ASSERT_EQ(compiled.code, kExitOk) << compiled.err;
  EXPECT_EQ(compiled.json().at("macs_executed"), plain.at("macs_executed"));
  EXPECT_EQ(compiled.json().at("correct"), plain.at("correct"));
}

TEST(Compiled, EvalPrintsThePlan) {
  const TemporaryFolder folder;
  const std::string weights = (folder / "model.safetensors").string();
  const nn::ModelOptions options = {.width = 0.25};
  nn::save_model(weights, "resnet20", options, *nn::make_model("resnet20", options));
  const Outcome outcome = espalier_command(
      {"eval", "--weights", weights, "--data", "synth", "--test-size", "20", "--compiled"});
  ASSERT_EQ(outcome.code, kExitOk) << outcome.err;
  EXPECT_NE(outcome.out.find("layer1.0.conv2"), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find("3x3 +residual relu"), std::string::npos) << outcome.out;
}

TEST(Compiled, PlanNeedsCompiled) {
  const Outcome outcome = espalier_command({"eval", "--weights", "x", "--plan", "y"});
  EXPECT_EQ(outcome.code, kExitBadUse);
  EXPECT_NE(outcome.err.find("--compiled"), std::string::npos) << outcome.err;
}

TEST(Compiled, BenchSaysThatItRanAPlan) {
  const Outcome outcome = espalier_command({"bench",
                                            "infer",
                                            "--model",
                                            "lenet5",
                                            "--batch",
                                            "16",
                                            "--sparsity",
                                            "0.9",
                                            "--compiled",
                                            "--rounds",
                                            "1",
                                            "--round-seconds",
                                            "0",
                                            "--json"});
  ASSERT_EQ(outcome.code, kExitOk) << outcome.err;
  EXPECT_EQ(outcome.json().at("compiled"), true);
  EXPECT_EQ(outcome.json().at("layout"), "nchw16n");
  EXPECT_GT(outcome.json().at("images_per_second").get<double>(), 0.0);
}

TEST(Compiled, OneImageRunsInPlanes) {
  const Outcome outcome = espalier_command({"bench",
                                            "infer",
                                            "--model",
                                            "lenet5",
                                            "--batch",
                                            "1",
                                            "--sparsity",
                                            "0.9",
                                            "--compiled",
                                            "--rounds",
                                            "1",
                                            "--round-seconds",
                                            "0"});
  ASSERT_EQ(outcome.code, kExitOk) << outcome.err;
  EXPECT_NE(outcome.out.find("layout planes"), std::string::npos) << outcome.out;
}

}  // namespace
}  // namespace espalier::experiments
