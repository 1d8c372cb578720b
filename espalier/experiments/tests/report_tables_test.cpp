// SPDX-License-Identifier: Apache-2.0
// Reports of an experiment's tables, with or without the run folders that they name.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <espalier/core/io.h>
#include <espalier/core/tests/temporary_folder.h>
#include <espalier/experiments/report/report.h>
#include <espalier/experiments/report/variants.h>

namespace espalier::experiments::report {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using espalier::testing::TemporaryFolder;

TEST(ReportTables, ReadsTheTablesOfAnExperimentWithoutItsRuns) {
  const TemporaryFolder folder;
  const fs::path results = folder / "experiments/layer-density-quick";
  write_file(results / "runs.csv",
             "model,data,method,variant,sparsity_asked,seed,sparsity,accuracy,loss,params,"
             "params_nonzero,macs_dense,macs_effective,macs_executed,images_per_second,"
             "seconds_per_epoch,collapsed_layers,run,error\n"
             "vgg16,cifar10,snip,,0.9,1,0.9,0.7,1,10,1,100,10,12,50.5,1,0,runs/a,\n"
             "vgg16,cifar10,snip,,0.9,2,,,,,,,,,,,,,\"diverged, alas\"\n");
  write_file(results / "layers.csv",
             "model,data,method,variant,sparsity_asked,seed,layer,total,kept,density\n"
             "vgg16,cifar10,snip,,0.9,1,features.0.weight,4,1,0.25\n");
  const Report report(read_runs({results}));
  ASSERT_EQ(report.runs().size(), 2U);
  EXPECT_EQ(report.runs()[0].name, "vgg16 cifar10 snip 0.9 seed 1");
  EXPECT_EQ(report.runs()[0].figure("images_per_second"), 50.5);
  ASSERT_EQ(report.runs()[0].layers.size(), 1U);
  EXPECT_EQ(report.runs()[0].layers[0].name, "features.0");
  EXPECT_EQ(report.runs()[0].layers[0].density, 0.25);
  EXPECT_FALSE(report.runs()[1].finished);
  const std::string page = html_page(report);
  EXPECT_NE(page.find("diverged, alas"), std::string::npos);
  EXPECT_NE(page.find("<span>layer-density</span> <span>--preset</span> <span>quick</span>"),
            std::string::npos);
  EXPECT_EQ(report.density_charts().size(), 1U);
}

// What a masked network does is not what is deployed once its channels are cut out.
TEST(ReportTables, TakesSpeedAndWorkOfTheDeployedNetworkWhereTheTableHasThem) {
  const TemporaryFolder folder;
  const std::string columns =
      "model,data,method,variant,sparsity_asked,seed,sparsity,accuracy,loss,params,params_nonzero,"
      "macs_dense,macs_effective,macs_executed,images_per_second,seconds_per_epoch,"
      "collapsed_layers,speed_images_per_second,speed_macs_executed,run,error\n";
  write_file(folder / "a/runs.csv",
             columns + "vgg16,cifar10,l1-filters,,0.3,1,0.5,0.7,1,10,5,100,50,90,20,1,0,40,50,,\n");
  write_file(folder / "b/runs.csv",
             columns + "vgg16,cifar10,l1-filters,,0.3,1,0.5,0.7,1,10,5,100,50,90,20,1,0,,,,\n");
  const Report deployed(read_runs({folder / "a"}));
  EXPECT_EQ(deployed.runs().at(0).figure("images_per_second"), 40);
  EXPECT_EQ(deployed.runs().at(0).figure("macs_executed"), 50);
  EXPECT_FALSE(deployed.runs().at(0).figure("speedup"));
  EXPECT_EQ(html_page(deployed).find("Accuracy against speed"), std::string::npos);
  const Report evaluated(read_runs({folder / "b"}));
  EXPECT_EQ(evaluated.runs().at(0).figure("images_per_second"), 20);
  EXPECT_EQ(evaluated.runs().at(0).figure("macs_executed"), 90);
  // Timed in turns with the dense network of the same table: 40 against 10 images a second.
  std::string timed =
      columns + "vgg16,cifar10,l1-filters,,0.3,1,0.5,0.7,1,10,5,100,50,90,20,1,0,40,50,,\n";
  timed.replace(timed.find(",run,"), 1, ",speed_images_per_second_dense,");
  timed.replace(timed.rfind(",,\n"), 1, ",10,");
  write_file(folder / "c/runs.csv", timed);
  const Report in_turns(read_runs({folder / "c"}));
  EXPECT_EQ(in_turns.runs().at(0).figure("speedup"), 4);
  EXPECT_NE(html_page(in_turns).find("Accuracy against speed"), std::string::npos);
}

TEST(ReportTables, DrawsOnlyRunsThatAreCompared) {
  const TemporaryFolder folder;
  write_file(folder / "a/runs.csv",
             "model,data,method,variant,sparsity_asked,seed,accuracy,compared,run,error\n"
             "vgg16,cifar10,snip,mask,0.9,1,0.1,0,,\n"
             "vgg16,cifar10,snip,original,0.9,1,0.7,1,,\n");
  const Report report(read_runs({folder / "a"}));
  EXPECT_EQ(report.runs().size(), 2U);
  const auto panels = panels_of(report.runs());
  ASSERT_EQ(panels.size(), 1U);
  EXPECT_EQ(panels[0].series(), (std::vector<std::string>{"snip original"}));
}

TEST(Variants, AreWhatDiffersAndIsNotTheDefault) {
  std::vector<ReportRun> runs;
  const auto add = [&](const char* method, const Json& settings, const char* variant = "") {
    ReportRun run;
    run.model = "resnet20";
    run.data = "synth";
    run.method = method;
    run.variant = variant;
    run.settings = settings;
    run.settings["prune"] = method;
    run.seed = settings.value("seed", 0);
    if (settings.contains("weights")) run.sources["weights"] = "trained";
    runs.push_back(run);
  };
  add("magnitude", {{"pattern", ""}, {"seed", 1}});
  add("magnitude", {{"pattern", "unstructured"}, {"elastic", "none"}, {"seed", 2}});
  add("magnitude", {{"pattern", "2:4"}, {"weights", "a.safetensors"}, {"threads", 2}});
  add("magnitude", {{"pattern", "2:4"}, {"weights", "b.safetensors"}, {"epochs", 5}});
  add("gmp", {{"epochs", 5}});
  add("snip", {{"epochs", 5}}, "of a table");
  add("snip", {{"epochs", 6}});
  name_variants(runs);
  std::vector<std::string> variants;
  for (const ReportRun& run : runs) variants.push_back(run.variant);
  EXPECT_EQ(variants,
            (std::vector<std::string>{"",
                                      "",
                                      "pattern 2:4, weights trained",
                                      "epochs 5, pattern 2:4, weights trained",
                                      "",
                                      "of a table",
                                      ""}));
}

}  // namespace
}  // namespace espalier::experiments::report
