// SPDX-License-Identifier: Apache-2.0
// The bench verbs and the kernel options, on networks of a fraction of a second.
#include <set>

#include <espalier/core/safetensors.h>
#include <espalier/experiments/failure.h>
#include <espalier/experiments/timing/rounds.h>
#include <espalier/experiments/timing/step_bench.h>

#include "command_line.h"

namespace espalier::experiments::timing {
namespace {

using espalier::testing::slurp;
using espalier::testing::TemporaryFolder;

TEST(Bench, TrainingStepHasThePromisedKeys) {
  const Outcome outcome = espalier_command({"bench",
                                            "train",
                                            "--model",
                                            "resnet20",
                                            "--batch",
                                            "16",
                                            "--sparsity",
                                            "0.9",
                                            "--rounds",
                                            "1",
                                            "--round-seconds",
                                            "0",
                                            "--threads",
                                            "1",
                                            "--json"});
  ASSERT_EQ(outcome.code, kExitOk) << outcome.err;
  const nlohmann::json result = outcome.json();
  EXPECT_EQ(result.at("model"), "resnet20");
  EXPECT_EQ(result.at("batch"), 16);
  EXPECT_EQ(result.at("threads"), 1);
  EXPECT_EQ(result.at("pattern"), "unstructured");
  EXPECT_NEAR(result.at("sparsity").get<double>(), 0.9, 1e-3);
  for (const char* key : {"images_per_second",
                          "images_per_second_dense",
                          "speedup",
                          "share_of_peak",
                          "peak_gflops",
                          "peak_memory"}) {
    EXPECT_GT(result.at(key).get<double>(), 0.0) << key;
  }
  // What chance could have made is no time.
  const nlohmann::json& update = result.at("mask_update_milliseconds");
  const double noise = result.at("mask_update_noise_milliseconds").get<double>();
  EXPECT_GE(noise, 0.0);
  if (!update.is_null()) {
    EXPECT_GT(update.get<double>(), noise);
  }
  EXPECT_EQ(result.at("mask_update_share").is_null(), update.is_null());
  ASSERT_EQ(result.at("layers").size(), 20u);  // 19 convolutions and the classifier
  for (const nlohmann::json& layer : result.at("layers")) {
    for (const char* key : {"name", "kernel", "milliseconds", "milliseconds_dense", "reason"}) {
      EXPECT_TRUE(layer.contains(key)) << key;
    }
    EXPECT_EQ(layer.at("kernel"), "sparse") << layer;
  }
}

// Weights of a file are zero where its masks were: no plan of the dense side may leave them out.
TEST(Bench, TheDenseSideOfAPrunedFileMultipliesItsZeros) {
  const TemporaryFolder folder;
  Network network = fresh_network("lenet5");
  mask_randomly(network, {.sparsity = 0.9});
  const std::string file = (folder / "pruned.safetensors").string();
  nn::save_model(file, network.name, network.options, *network.module);
  const int64_t all =
      nn::count_model(*fresh_network("lenet5").module, network.sample()).total.macs_dense;
  const auto run = [&](const std::vector<std::string>& more) {
    std::vector<std::string> command = {"bench",
                                        "infer",
                                        "--weights",
                                        file,
                                        "--batch",
                                        "16",
                                        "--dense",
                                        "direct",
                                        "--rounds",
                                        "1",
                                        "--round-seconds",
                                        "0",
                                        "--json"};
    command.insert(command.end(), more.begin(), more.end());
    const Outcome outcome = espalier_command(command);
    EXPECT_EQ(outcome.code, kExitOk) << outcome.err;
    return outcome.json();
  };
  for (const auto& json : {run({}), run({"--compiled"})}) {
    EXPECT_EQ(json.at("macs_executed_dense"), all);
    EXPECT_LT(json.at("macs_executed").get<int64_t>(), all / 2);
  }
}

// Weights pruned elsewhere: zeros, no masks, no description of their network.
TEST(Bench, WeightsFromElsewhereNeedTheNameOfTheirNetwork) {
  const TemporaryFolder folder;
  Network network = fresh_network("lenet5");
  mask_randomly(network, {.sparsity = 0.5});
  SafetensorsFile file{.tensors = network.module->state_dict(), .metadata = {}};
  std::erase_if(file.tensors, [](const auto& one) { return one.first.ends_with(".mask"); });
  const std::string zeros = (folder / "zeros.safetensors").string();
  const std::string out = (folder / "ours.safetensors").string();
  save_safetensors(zeros, file);
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"bench", "infer", "--rounds", "1", "--round-seconds", "0"},
        {"shrink", "--out", out}}) {
    std::vector<std::string> with = command;
    with.insert(with.end(), {"--weights", zeros, "--masks-from-zeros"});
    const Outcome unknown = espalier_command(with);
    EXPECT_EQ(unknown.code, kExitBadUse);
    EXPECT_NE(unknown.err.find("--model"), std::string::npos) << unknown.err;
    with.insert(with.end(), {"--model", "lenet5"});
    EXPECT_EQ(espalier_command(with).code, kExitOk);
  }
  EXPECT_TRUE(nn::load_model(out).module->parameter("fc1.weight").masked());
  // A file of ours tells its network; another is not asked of it.
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"bench", "infer"}, {"shrink", "--out", zeros + ".out"}}) {
    std::vector<std::string> with = command;
    with.insert(with.end(), {"--weights", out, "--model", "vgg16"});
    const Outcome other = espalier_command(with);
    EXPECT_EQ(other.code, kExitBadUse);
    EXPECT_NE(other.err.find("--model"), std::string::npos) << other.err;
  }
}

TEST(Bench, InferenceWithoutSparsityIsDense) {
  const Outcome outcome = espalier_command({"bench",
                                            "infer",
                                            "--model",
                                            "lenet5",
                                            "--batch",
                                            "1",
                                            "--rounds",
                                            "1",
                                            "--round-seconds",
                                            "0",
                                            "--json"});
  ASSERT_EQ(outcome.code, kExitOk) << outcome.err;
  EXPECT_EQ(outcome.json().at("pattern"), "dense");
  EXPECT_EQ(outcome.json().at("speedup"), 1.0);
}

TEST(Bench, AGatedNetworkIsHeldAgainstItsDenseSelfAlsoInPlanes) {
  const TemporaryFolder folder;
  const auto trained = folder / "gated";
  ASSERT_EQ(espalier_command(tiny_training(trained, {"--prune", "fbs", "--sparsity", "0.5"})).code,
            kExitOk);
  for (const char* batch : {"1", "5"}) {
    const auto json = espalier_command({"bench",
                                        "infer",
                                        "--compiled",
                                        "--batch",
                                        batch,
                                        "--rounds",
                                        "1",
                                        "--round-seconds",
                                        "0",
                                        "--weights",
                                        (trained / "model.safetensors").string(),
                                        "--json"})
                          .json();
    EXPECT_TRUE(json.at("gated").get<bool>());
    EXPECT_EQ(json.at("layout"), "planes");
    EXPECT_GT(json.at("speedup").get<double>(), 0.0);
    EXPECT_EQ(json.contains("speedup_over_planes"), batch == std::string("5"));
  }
}

TEST(Bench, RandomGatesLeaveOutWhatIsAsked) {
  const auto json = [](const char* gates, const char* sparsity) {
    return espalier_command({"bench",
                             "infer",
                             "--compiled",
                             "--gates",
                             gates,
                             "--sparsity",
                             sparsity,
                             "--batch",
                             "16",
                             "--rounds",
                             "1",
                             "--round-seconds",
                             "0",
                             "--json"})
        .json();
  };
  const auto share = [&](const char* gates, const char* sparsity) {
    const auto out = json(gates, sparsity);
    EXPECT_EQ(out.at("pattern"), gates);
    // Rounding may open another gate than in the module, whose are the others.
    EXPECT_GT(out.at("macs_executed").get<double>(), 0.99 * out.at("macs").get<double>());
    EXPECT_LT(out.at("macs_executed"), out.at("macs_dense"));
    return out.at("macs").get<double>() / out.at("macs_dense").get<double>();
  };
  // Half of the channels at both sides: a quarter; some layers read a whole input.
  EXPECT_NEAR(share("fbs", "0.5"), 0.33, 0.1);
  // A quarter always, and a fifth of the rest.
  EXPECT_NEAR(share("cgnet", "0.8"), 0.4, 0.06);
  // Of nine blocks, the first has no gate: three quarters of 8/9 are closed.
  EXPECT_NEAR(share("skipnet", "0.75"), 0.34, 0.03);
  EXPECT_NEAR(share("convnet-aig", "0.75"), 0.34, 0.03);
}

TEST(Bench, KernelsListEveryLayerAndSparsity) {
  const Outcome outcome = espalier_command({"bench",
                                            "kernels",
                                            "--batch",
                                            "1",
                                            "--rounds",
                                            "1",
                                            "--round-seconds",
                                            "0",
                                            "--sparsities",
                                            "0.9,0.98",
                                            "--json"});
  ASSERT_EQ(outcome.code, kExitOk) << outcome.err;
  EXPECT_EQ(outcome.json().at("kernels").size(), 7u * 2u * 4u);
}

TEST(Bench, KernelsOfAnNMPatternHaveItsSparsity) {
  const Outcome outcome = espalier_command({"bench",
                                            "kernels",
                                            "--pattern",
                                            "1:4",
                                            "--batch",
                                            "1",
                                            "--rounds",
                                            "1",
                                            "--round-seconds",
                                            "0",
                                            "--json"});
  ASSERT_EQ(outcome.code, kExitOk) << outcome.err;
  const auto json = outcome.json();
  std::set<double> sparsities;
  for (const auto& kernel : json.at("kernels")) {
    sparsities.insert(kernel.at("sparsity").get<double>());
  }
  EXPECT_EQ(sparsities, (std::set<double>{0.0, 0.75}));
}

TEST(Bench, AnNMPatternBringsItsSparsity) {
  const Outcome outcome = espalier_command({"bench",
                                            "infer",
                                            "--model",
                                            "lenet-300-100",
                                            "--pattern",
                                            "1:4",
                                            "--batch",
                                            "1",
                                            "--rounds",
                                            "1",
                                            "--round-seconds",
                                            "0",
                                            "--json"});
  ASSERT_EQ(outcome.code, kExitOk) << outcome.err;
  EXPECT_EQ(outcome.json().at("pattern"), "1:4");
  EXPECT_NEAR(outcome.json().at("sparsity").get<double>(), 0.75, 1e-3);
}

TEST(Bench, BadUseExitsWithTwoAndSaysWhy) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> calls = {
      {{"bench", "train", "--model", "gpt"}, "gpt"},
      {{"bench", "train", "--model", "nope"}, "nope"},
      {{"bench", "train", "--sparsity", "2"}, "0 .. 1"},
      {{"bench", "infer", "--model", "lenet5", "--sparsity", "0.5", "--pattern", "no"}, "no"},
      {{"bench", "infer", "--gates", "fbs", "--weights", "x"}, "--gates"},
      {{"bench", "infer", "--gates", "chainsaw"}, "chainsaw"},
      {{"bench", "infer", "--weights", "x", "--sparsity", "0.5"}, "--sparsity"},
      {{"bench", "train", "--pattern", "5:4"}, "5:4"},
      {{"bench", "train", "--pattern", "4x1"}, "--pattern needs --sparsity above 0"},
      {{"bench", "infer", "--allocation", "erk"}, "--allocation needs --sparsity above 0"},
      {{"bench", "infer", "--gates", "fbs", "--pattern", "4x1"}, "--pattern needs --gates none"},
      {{"bench", "infer", "--kernel-times", "x"}, "--kernel-times needs --kernels measured"},
      {{"bench", "infer", "--model", "lenet5", "--gates", "fbs"}, "no layer can have a gate"},
      {{"bench", "kernels", "--sparsities", "0.5,x"}, "0.5,x"},
      {{"bench", "kernels", "--sparsities", "1.5"}, "1.5"},
  };
  for (const auto& [arguments, part] : calls) {
    const Outcome outcome = espalier_command(arguments);
    EXPECT_EQ(outcome.code, kExitBadUse) << outcome.err;
    EXPECT_NE(outcome.err.find(part), std::string::npos) << outcome.err;
  }
}

TEST(Kernels, MeasuredTimesStayInTheRunFolder) {
  const TemporaryFolder folder;
  const Outcome run = espalier_command(
      tiny_training(folder / "run", {"--prune", "random", "--kernels", "measured"}));
  ASSERT_EQ(run.code, kExitOk) << run.err;
  const auto times = nlohmann::json::parse(slurp(folder / "run" / "kernels.json"));
  EXPECT_GT(times.size(), 0u);
}

TEST(Kernels, RequiringSparseFailsWithTheReason) {
  const TemporaryFolder folder;
  const std::vector<std::string> strict = {
      "--prune", "random", "--allocation", "uniform", "--require-sparse", "--sparsity"};
  auto with = [&](const char* sparsity) {
    auto arguments = strict;
    arguments.push_back(sparsity);
    return espalier_command(tiny_training(folder / sparsity, arguments));
  };
  EXPECT_EQ(with("0.9").code, kExitOk);
  const Outcome refused = with("0.3");
  EXPECT_NE(refused.code, kExitOk);
  EXPECT_NE(refused.err.find("is above 0.5"), std::string::npos) << refused.err;
}

TEST(Rounds, MedianAndSpreadAreTheirDefinitions) {
  EXPECT_EQ((RoundTimes{{3.0, 1.0, 2.0}}).median(), 2.0);
  EXPECT_EQ((RoundTimes{{4.0, 1.0, 2.0, 3.0}}).median(), 2.5);
  EXPECT_EQ((RoundTimes{{3.0, 1.0, 2.0}}).spread(), 1.0);
  EXPECT_DOUBLE_EQ(geometric_mean({2.0, 8.0}), 4.0);
}

TEST(Rounds, SidesTakeTurns) {
  std::string order;
  const auto side = [&](char name) {
    return [&order, name] {
      order += name;
      return 1.0;
    };
  };
  time_in_turns({side('a'), side('b')}, 2, 0.0);
  EXPECT_EQ(order, "aabbabab");  // two calls each to warm up, then the rounds
}

TEST(MeasureDifference, IsToldOnlyBeyondChance) {
  // Differences of -1, 2, -1, 2, ..: the median is one of them, chance is worth more than a third.
  int calls = 0;
  const TimeDifference unsure =
      measure_difference([&] { return ++calls % 2 == 0 ? 2.0 : -1.0; }, 8, 0.0);
  EXPECT_EQ(calls, 9);  // one to warm up
  EXPECT_EQ(unsure.seconds, 0.5);
  EXPECT_FALSE(unsure.is_sure());
  const TimeDifference sure = measure_difference([] { return 0.25; }, 4, 0.0);
  EXPECT_EQ(sure.seconds, 0.25);
  EXPECT_EQ(sure.noise, 0.0);
  EXPECT_TRUE(sure.is_sure());
  EXPECT_FALSE(measure_difference([] { return -0.25; }, 4, 0.0).is_sure());
}

}  // namespace
}  // namespace espalier::experiments::timing
