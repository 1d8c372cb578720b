// SPDX-License-Identifier: Apache-2.0
// A program around this library may count with decimal commas: what is read, computed and written
// stays the same.
#include <sstream>

#include <espalier/core/tests/comma_locale.h>
#include <espalier/experiments/failure.h>
#include <espalier/experiments/run/checkpoint_seconds.h>

#include "command_line.h"

namespace espalier::experiments {
namespace {

using espalier::testing::CommaLocale;
using espalier::testing::slurp;
using espalier::testing::TemporaryFolder;

// The lines of metrics.csv without the seconds in their last column.
std::string without_seconds(const std::string& csv) {
  std::istringstream lines(csv);
  std::string out;
  for (std::string line; std::getline(lines, line);) out += line.substr(0, line.rfind(',')) + '\n';
  return out;
}

TEST(DecimalComma, ChangesNothingOfATraining) {
  const TemporaryFolder folder;
  const std::string config = folder.write("c.toml", "lr = 0.05\nsparsity = 0.75\n").string();
  const auto train = [&](const char* name) {
    const Outcome outcome = espalier_command(tiny_training(folder / name,
                                                           {"--config",
                                                            config,
                                                            "--prune",
                                                            "gmp",
                                                            "--weight-decay",
                                                            "0.0005",
                                                            "--schedule",
                                                            "multistep",
                                                            "--milestones",
                                                            "0.5,0.75"}));
    EXPECT_EQ(outcome.code, kExitOk) << outcome.err;
  };
  train("usual");
  const std::string listed = espalier_command({"methods", "--json"}).out;
  const CommaLocale comma;
  if (!comma.is_set()) GTEST_SKIP() << "no locale de_DE.UTF-8 (Debian: locales)";
  train("comma");
  EXPECT_EQ(slurp(folder / "comma/model.safetensors"), slurp(folder / "usual/model.safetensors"));
  EXPECT_EQ(without_seconds(slurp(folder / "comma/metrics.csv")),
            without_seconds(slurp(folder / "usual/metrics.csv")));
  const auto settings = [&](const char* name) {
    auto out = nlohmann::json::parse(slurp(folder / name / "run.json")).at("settings");
    out.erase("out");
    return out;
  };
  EXPECT_EQ(settings("comma"), settings("usual"));
  EXPECT_EQ(espalier_command({"methods", "--json"}).out, listed);
}

TEST(DecimalComma, KeepsTheSecondsOfACheckpoint) {
  const CommaLocale comma;
  if (!comma.is_set()) GTEST_SKIP() << "no locale de_DE.UTF-8 (Debian: locales)";
  const Outcome made = [] {
    const TemporaryFolder folder;
    const Outcome outcome = espalier_command(tiny_training(folder / "run"));
    const SafetensorsFile state = load_safetensors(folder / "run/state.safetensors");
    EXPECT_EQ(state.metadata.at("seconds").find(','), std::string::npos);
    EXPECT_GT(checkpoint_seconds(state), 0.0);
    return outcome;
  }();
  EXPECT_EQ(made.code, kExitOk) << made.err;
}

}  // namespace
}  // namespace espalier::experiments
