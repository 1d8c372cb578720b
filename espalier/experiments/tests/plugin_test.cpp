// SPDX-License-Identifier: Apache-2.0
// Methods from a shared object. The command is a process of its own here: it exports its libraries,
// which the test program does not.
#include <array>
#include <cstdio>

#include <espalier/experiments/command/plugins.h>
#include <espalier/experiments/failure.h>

#include "command_line.h"

namespace espalier::experiments {
namespace {

using espalier::testing::expect_error;
using espalier::testing::TemporaryFolder;

// Exit code and all that is printed.
Outcome run_process(const std::vector<std::string>& arguments) {
  std::string line = ESPALIER_COMMAND;
  for (const std::string& argument : arguments) line += " '" + argument + "'";
  std::FILE* const pipe = ::popen((line + " 2>&1").c_str(), "r");
  Outcome outcome;
  std::array<char, 4096> bytes{};
  for (size_t n; (n = std::fread(bytes.data(), 1, bytes.size(), pipe)) > 0;) {
    outcome.out.append(bytes.data(), n);
  }
  outcome.code = WEXITSTATUS(::pclose(pipe));
  return outcome;
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(Plugin, BringsAMethodWithItsFlagsAndItsHelp) {
  const Outcome listed = run_process({"--plugin", ESPALIER_PLUGIN_FILE, "methods"});
  EXPECT_EQ(listed.code, kExitOk) << listed.out;
  EXPECT_TRUE(has(listed.out, "relative-magnitude")) << listed.out;
  EXPECT_FALSE(has(run_process({"methods"}).out, "relative-magnitude"));
  const Outcome help = run_process({"train",
                                    "--prune",
                                    "relative-magnitude",
                                    "--help",
                                    std::string("--plugin=") + ESPALIER_PLUGIN_FILE});
  EXPECT_EQ(help.code, kExitOk) << help.out;
  EXPECT_TRUE(has(help.out, "Pruning with relative-magnitude:\n  --begin REAL")) << help.out;
}

TEST(Plugin, TrainsAndItsRunIsReadWithoutIt) {
  const TemporaryFolder folder;
  std::vector<std::string> training = {"--plugin", ESPALIER_PLUGIN_FILE};
  const auto tiny = tiny_training(
      folder / "run",
      {"--prune", "relative-magnitude", "--sparsity", "0.5", "--end", "0.5", "--epochs", "2"});
  training.insert(training.end(), tiny.begin(), tiny.end());
  const Outcome trained = run_process(training);
  ASSERT_EQ(trained.code, kExitOk) << trained.out;
  EXPECT_TRUE(has(trained.out, "pruned at step")) << trained.out;
  const auto figures = tiny_evaluation((folder / "run/model.safetensors").string());
  EXPECT_NEAR(figures.at("sparsity").get<double>(), 0.5, 0.01);
}

TEST(Plugin, ThatIsNoneIsAnErrorThatNamesTheFile) {
  const TemporaryFolder folder;
  const auto text = folder.write("text.so", "no shared object");
  expect_error<IoError>([&] { load_plugin(folder / "absent.so"); },
                        {"absent.so", "expected a shared object, found no file"});
  expect_error<IoError>([&] { load_plugin(text); }, {"text.so"});
  expect_error<ValueError>([] { load_plugins({"methods", "--plugin"}); }, {"expected a file"});
  EXPECT_EQ(load_plugins({"methods", "rigl"}), (std::vector<std::string>{"methods", "rigl"}));
  const Outcome refused = run_process({"--plugin", text.string(), "methods"});
  EXPECT_NE(refused.code, kExitOk);
  EXPECT_TRUE(has(refused.out, "text.so")) << refused.out;
}

TEST(Plugin, LoadedTwiceMeetsATakenName) {
  const Outcome twice =
      run_process({"--plugin", ESPALIER_PLUGIN_FILE, "--plugin", ESPALIER_PLUGIN_FILE, "methods"});
  EXPECT_EQ(twice.code, kExitBadUse);
  EXPECT_TRUE(has(twice.out, "relative-magnitude")) << twice.out;
}

}  // namespace
}  // namespace espalier::experiments
