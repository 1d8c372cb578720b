// SPDX-License-Identifier: Apache-2.0
// A run that is killed at random instants and started again must end with the bytes of a run that
// was never killed. ESPALIER_KILLS sets how often (default 3).
#include <chrono>
#include <cstdlib>

#include <espalier/core/random.h>

#include "child_process.h"
#include "command_line.h"

namespace espalier::experiments {
namespace {

using Clock = std::chrono::steady_clock;
using espalier::testing::slurp;
using espalier::testing::TemporaryFolder;

int wanted_kills() {
  const char* text = std::getenv("ESPALIER_KILLS");
  return text == nullptr ? 3 : std::atoi(text);
}

void expect_same_end(const std::vector<std::string>& more, int epochs = 2) {
  const TemporaryFolder folder;
  const auto flags = [&](const char* name, const char* threads) {
    auto out = tiny_training(folder / name, {"--train-size", "200", "--checkpoint-every", "1"});
    out.insert(out.end(), more.begin(), more.end());
    *(std::find(out.begin(), out.end(), "--threads") + 1) = threads;
    return out;
  };
  const Clock::time_point begin = Clock::now();
  ASSERT_EQ(wait_or_signal(start_command(flags("whole", "1")), std::chrono::minutes(5)).code, 0);
  const double whole = std::chrono::duration<double>(Clock::now() - begin).count();

  Rng rng(static_cast<uint64_t>(begin.time_since_epoch().count()), "kill");
  SCOPED_TRACE(cat("kills drawn from seed ", rng.state().seed));
  int kills = 0;
  int with_checkpoint = 0;  // kills after which there is something to continue
  const auto enough = [&] { return kills >= wanted_kills() && with_checkpoint > 0; };
  for (int attempt = 0; !enough() && attempt < 20 * wanted_kills() + 20; ++attempt) {
    const std::chrono::duration<double> limit(whole * rng.uniform64());
    const End end =
        wait_or_signal(start_command(flags("killed", attempt % 2 == 0 ? "1" : "2")), limit);
    const bool killed = end.by_signal != 0;
    kills += killed ? 1 : 0;
    if (killed) {
      with_checkpoint += std::filesystem::exists(folder / "killed/state.safetensors") ? 1 : 0;
      continue;
    }
    ASSERT_EQ(end.code, 0);
    if (!enough()) std::filesystem::remove_all(folder / "killed");
  }
  EXPECT_TRUE(enough()) << kills << " kills, " << with_checkpoint << " with a checkpoint";
  ASSERT_EQ(wait_or_signal(start_command(flags("killed", "2")), std::chrono::minutes(5)).code, 0);
  EXPECT_EQ(slurp(folder / "killed/model.safetensors"), slurp(folder / "whole/model.safetensors"));

  // The metrics agree in all but time.
  std::istringstream a(slurp(folder / "killed/metrics.jsonl"));
  std::istringstream b(slurp(folder / "whole/metrics.jsonl"));
  int lines = 0;
  for (std::string x, y; std::getline(a, x); ++lines) {
    ASSERT_TRUE(std::getline(b, y));
    auto jx = nlohmann::json::parse(x);
    auto jy = nlohmann::json::parse(y);
    jx.erase("seconds");
    jy.erase("seconds");
    EXPECT_EQ(jx, jy);
  }
  EXPECT_EQ(lines, epochs);
  for (const auto& entry : std::filesystem::directory_iterator(folder / "killed")) {
    EXPECT_FALSE(entry.path().filename().string().starts_with(".")) << entry.path();
  }
}

TEST(KillResume, ADenseRunEndsWithTheSameBytes) {
  expect_same_end({"--optimizer", "adamw", "--lr", "0.001"});
}

TEST(KillResume, ARunOfMuonWithSlowWeightsEndsWithTheSameBytes) {
  expect_same_end({"--optimizer", "muon", "--lr", "0.02", "--lookahead", "3"});
}

TEST(KillResume, APrunedRunEndsWithTheSameBytes) {
  expect_same_end({"--prune", "gmp", "--sparsity", "0.8"});
}

TEST(KillResume, AGatedRunEndsWithTheSameBytes) {
  expect_same_end({"--prune", "fbs", "--sparsity", "0.5"});
}

TEST(KillResume, ARunThatDrawsItsBlocksEndsWithTheSameBytes) {
  expect_same_end({"--prune", "skipnet", "--sparsity", "0.5", "--rewards-from", "0.25"});
}

TEST(KillResume, ARunInRoundsEndsWithTheSameBytes) {
  // Two epochs, and twice the last one and a half.
  expect_same_end(
      {"--prune", "lottery-tickets", "--sparsity", "0.8", "--rounds", "2", "--rewind-to", "0.25"},
      6);
}

}  // namespace
}  // namespace espalier::experiments
