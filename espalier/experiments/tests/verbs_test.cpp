// SPDX-License-Identifier: Apache-2.0
// What report, shrink and score make of trainings of a second.
#include <algorithm>
#include <cmath>
#include <filesystem>

#include <espalier/core/safetensors.h>
#include <espalier/experiments/csv.h>

#include "runs.h"

namespace espalier::experiments {
namespace {

using espalier::testing::slurp;

using Verbs = Runs;

TEST_F(Verbs, ReportShowsEveryRunInTextPageAndCsv) {
  const Outcome report =
      espalier_command({"report", path("dense"), path("pruned"), "--out", path("report.html")});
  ASSERT_EQ(report.code, kExitOk) << report.err;
  EXPECT_NE(report.out.find("pruned"), std::string::npos);
  const std::string page = slurp(path("report.html"));
  EXPECT_NE(page.find("<svg"), std::string::npos);
  for (const char* loading : {"src=\"http", "href=\"http", "src=\"/", "url(", "@import"}) {
    EXPECT_EQ(page.find(loading), std::string::npos) << "the page must need nothing but itself";
  }
  const std::string folder = path("pruned");
  EXPECT_NE(page.find("<span>--prune</span> <span>gmp</span>"), std::string::npos)
      << "the command that makes the run";
  EXPECT_NE(page.find("<span>--out</span> <span>" + folder), std::string::npos);
  EXPECT_NE(page.find("Time of each layer"), std::string::npos);
  EXPECT_NE(page.find("Mask of fc"), std::string::npos);
  EXPECT_NE(page.find("Filters of conv1"), std::string::npos);
  std::istringstream csv(slurp(path("report.csv")));
  std::vector<std::string> lines;
  for (std::string line; std::getline(csv, line);) lines.push_back(line);
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_TRUE(lines[0].starts_with("run,finished,model,data,method,variant,sparsity_asked,seed,"))
      << lines[0];
  std::vector<std::string> names = parse_csv(lines[0] + "\n", "head").at(0);
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end()) << "two of one name";
  EXPECT_EQ(lines[2].substr(0, 12), "pruned,true,");
}

TEST_F(Verbs, ShrinkWritesANetworkThatComputesTheSame) {
  const Outcome run = espalier_command(
      tiny_training(path("filters"), {"--prune", "l1-filters", "--sparsity", "0.3"}));
  ASSERT_EQ(run.code, kExitOk) << run.err;
  const Outcome shrunk = espalier_command({"shrink",
                                           "--weights",
                                           path("filters/model.safetensors"),
                                           "--out",
                                           path("small.safetensors"),
                                           "--json"});
  ASSERT_EQ(shrunk.code, kExitOk) << shrunk.err;
  EXPECT_LT(shrunk.json().at("params").get<int>(), shrunk.json().at("params_before").get<int>());
  const auto masked = tiny_evaluation(path("filters/model.safetensors"));
  const auto small = tiny_evaluation(path("small.safetensors"));
  EXPECT_EQ(small.at("correct"), masked.at("correct"));
  EXPECT_NEAR(small.at("loss").get<double>(), masked.at("loss").get<double>(), 1e-5);
  EXPECT_LT(small.at("macs_dense").get<int64_t>(), masked.at("macs_dense").get<int64_t>());
}

TEST_F(Verbs, WidenWritesANetworkThatComputesTheSameAndOneThatFitsTheBudget) {
  const Outcome run = espalier_command(
      tiny_training(path("narrow"), {"--prune", "l1-filters", "--sparsity", "0.3"}));
  ASSERT_EQ(run.code, kExitOk) << run.err;
  const std::string masked_file = path("narrow/model.safetensors");
  const Outcome wider = espalier_command({"widen",
                                          "--weights",
                                          masked_file,
                                          "--out",
                                          path("wide.safetensors"),
                                          "--factor",
                                          "1.5",
                                          "--json"});
  ASSERT_EQ(wider.code, kExitOk) << wider.err;
  EXPECT_EQ(wider.json().at("factor").get<double>(), 1.5);
  const auto masked = tiny_evaluation(masked_file);
  const auto wide = tiny_evaluation(path("wide.safetensors"));
  EXPECT_EQ(wide.at("correct"), masked.at("correct"));
  EXPECT_NEAR(wide.at("loss").get<double>(), masked.at("loss").get<double>(), 1e-5);

  // What was cut out makes room for wider layers: the share is of the network before.
  const Outcome morphed = espalier_command({"widen",
                                            "--weights",
                                            masked_file,
                                            "--out",
                                            path("morphed.safetensors"),
                                            "--target",
                                            "macs=1",
                                            "--fresh",
                                            "all",
                                            "--json"});
  ASSERT_EQ(morphed.code, kExitOk) << morphed.err;
  const auto json = morphed.json();
  EXPECT_GT(json.at("factor").get<double>(), 1.0);
  EXPECT_LE(json.at("macs_dense").get<int64_t>(), json.at("macs_dense_before").get<int64_t>());
  EXPECT_EQ(tiny_evaluation(path("morphed.safetensors")).at("macs_dense"), json.at("macs_dense"));

  const Outcome neither =
      espalier_command({"widen", "--weights", masked_file, "--out", path("none.safetensors")});
  EXPECT_EQ(neither.code, kExitBadUse);
  EXPECT_NE(neither.err.find("--factor or --target"), std::string::npos);
}

TEST_F(Verbs, ShrinkPutsChannelsWithSimilarMasksSideBySide) {
  const Outcome gathered = espalier_command({"shrink",
                                             "--weights",
                                             path("pruned/model.safetensors"),
                                             "--out",
                                             path("gathered.safetensors"),
                                             "--gather-blocks",
                                             "--json"});
  ASSERT_EQ(gathered.code, kExitOk) << gathered.err;
  const auto json = gathered.json();
  ASSERT_FALSE(json.at("weights").empty());
  double before = 0.0;
  double after = 0.0;
  for (const auto& weight : json.at("weights")) {
    before += weight.at("fill_before").get<double>();
    after += weight.at("fill").get<double>();
  }
  EXPECT_GT(after, before);
  const auto old = tiny_evaluation(path("pruned/model.safetensors"));
  const auto reordered = tiny_evaluation(path("gathered.safetensors"));
  EXPECT_EQ(reordered.at("correct"), old.at("correct"));
  EXPECT_NEAR(reordered.at("loss").get<double>(), old.at("loss").get<double>(), 1e-5);
}

TEST_F(Verbs, ScoresHaveTheNamesAndShapesOfTheWeights) {
  save_safetensors(*folder_ / "batch.safetensors",
                   {{{"images", Tensor::ones({4, 3, 32, 32})},
                     {"labels", Tensor::from<int64_t>({4}, {0, 1, 2, 9})}},
                    {}});
  const Outcome score = espalier_command({"score",
                                          "--method",
                                          "magnitude",
                                          "--weights",
                                          path("dense/model.safetensors"),
                                          "--inputs",
                                          path("batch.safetensors"),
                                          "--out",
                                          path("scores.safetensors")});
  ASSERT_EQ(score.code, kExitOk) << score.err;
  const auto scores = load_safetensors(path("scores.safetensors")).tensors;
  const auto model = load_safetensors(path("dense/model.safetensors")).tensors;
  ASSERT_TRUE(scores.contains("conv1.weight"));
  for (const auto& [name, tensor] : scores)
    EXPECT_EQ(tensor.shape(), model.at(name).shape()) << name;
  const auto weights = model.at("conv1.weight").to_vector<double>();
  const auto magnitude = scores.at("conv1.weight").to_vector<double>();
  for (size_t i = 0; i < weights.size(); ++i) EXPECT_EQ(magnitude[i], std::abs(weights[i]));
}

TEST_F(Verbs, ScoreRefusesBatchesThatDoNotFit) {
  const auto score = [&](const Tensor& images, const Tensor& labels) {
    save_safetensors(*folder_ / "bad.safetensors", {{{"images", images}, {"labels", labels}}, {}});
    const Outcome outcome = espalier_command({"score",
                                              "magnitude",
                                              "--weights",
                                              path("dense/model.safetensors"),
                                              "--batch",
                                              path("bad.safetensors"),
                                              "--out",
                                              path("no.safetensors")});
    EXPECT_FALSE(std::filesystem::exists(path("no.safetensors")));
    return outcome;
  };
  const Tensor images = Tensor::ones({2, 3, 32, 32});
  const Tensor labels = Tensor::from<int64_t>({2}, {0, 1});
  EXPECT_EQ(score(images, Tensor::from<int64_t>({2}, {0, 10})).code, kExitBadUse);
  EXPECT_EQ(score(images, Tensor::from<int64_t>({2}, {0, -1})).code, kExitBadUse);
  EXPECT_EQ(score(images, Tensor::from<int64_t>({3}, {0, 1, 2})).code, kExitBadUse);
  EXPECT_EQ(score(images, Tensor::from<int32_t>({2}, {0, 1})).code, kExitBadUse);
  EXPECT_EQ(score(Tensor::ones({2, 3, 28, 28}), labels).code, kExitBadUse);
  EXPECT_EQ(score(Tensor::ones({2, 3}), labels).code, kExitBadUse);
  EXPECT_EQ(score(Tensor::full({2, 3, 32, 32}, std::nan("")), labels).code, kExitBadUse);
}

}  // namespace
}  // namespace espalier::experiments
