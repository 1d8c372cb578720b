// SPDX-License-Identifier: Apache-2.0
// A training that its user stops at random instants and starts again must end with the bytes of one
// that was never stopped. ESPALIER_INTERRUPTS sets how often (default 3).
#include <espalier/experiments/interrupt.h>

#include <chrono>
#include <cstdlib>

#include <espalier/core/random.h>
#include <espalier/experiments/failure.h>

#include "child_process.h"
#include "command_line.h"

namespace espalier::experiments {
namespace {

using Clock = std::chrono::steady_clock;
using espalier::testing::slurp;
using espalier::testing::TemporaryFolder;
using std::chrono::milliseconds;

int wanted_interrupts() {
  const char* text = std::getenv("ESPALIER_INTERRUPTS");
  return text == nullptr ? 3 : std::atoi(text);
}

// Without checkpoints but those at the ends of epochs, and one for each signal.
std::vector<std::string> training(const std::filesystem::path& out,
                                  const std::vector<std::string>& more) {
  std::vector<std::string> all = tiny_training(out, {"--train-size", "400"});
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

std::string status_of(const std::filesystem::path& run) {
  return nlohmann::json::parse(slurp(run / "run.json")).at("status");
}

// Waits until the run takes steps: from then on a signal is heeded.
void wait_for_run(const std::filesystem::path& run) {
  const auto deadline = Clock::now() + std::chrono::minutes(1);
  while (!std::filesystem::exists(run / "run.json") && Clock::now() < deadline) {
    std::this_thread::sleep_for(milliseconds(1));
  }
}

void expect_same_end(const std::vector<std::string>& more, int signal) {
  const TemporaryFolder folder;
  const Clock::time_point begin = Clock::now();
  ASSERT_EQ(
      wait_or_signal(start_command(training(folder / "whole", more)), milliseconds(300'000)).code,
      0);
  const double whole = std::chrono::duration<double>(Clock::now() - begin).count();

  Rng rng(static_cast<uint64_t>(begin.time_since_epoch().count()), "interrupt");
  SCOPED_TRACE(cat("instants drawn from seed ", rng.state().seed));
  const std::filesystem::path run = folder / "stopped", log = folder / "log";
  int stopped = 0;
  for (int attempt = 0; stopped < wanted_interrupts() && attempt < 20 * wanted_interrupts();
       ++attempt) {
    const std::chrono::duration<double> limit(whole * rng.uniform64());
    const End end = wait_or_signal(start_command(training(run, more), log), limit, signal);
    const std::string told = slurp(log);
    if (end.code == 0) {
      std::filesystem::remove_all(run);
    } else if (end.by_signal != 0) {
      EXPECT_EQ(end.by_signal, signal);  // before there was a run, so nothing is lost
    } else {
      ASSERT_EQ(end.code, kExitInterrupted) << told;
      ++stopped;
      EXPECT_EQ(status_of(run), "interrupted");
      EXPECT_TRUE(std::filesystem::exists(run / "state.safetensors"));
      const size_t line = told.find("interrupted after step ");
      ASSERT_NE(line, std::string::npos) << told;
      EXPECT_NE(told.find("; go on with: " ESPALIER_COMMAND " train --model resnet20", line),
                std::string::npos)
          << told;
    }
  }
  EXPECT_EQ(stopped, wanted_interrupts());
  ASSERT_EQ(wait_or_signal(start_command(training(run, more), log), milliseconds(300'000)).code, 0)
      << slurp(log);
  EXPECT_EQ(status_of(run), "finished");
  EXPECT_EQ(slurp(run / "model.safetensors"), slurp(folder / "whole/model.safetensors"));
}

TEST(Interrupt, ADenseRunGoesOnToTheSameBytes) {
  expect_same_end({}, SIGINT);
}

TEST(Interrupt, APrunedRunGoesOnToTheSameBytes) {
  expect_same_end({"--prune", "snip", "--sparsity", "0.8"}, SIGTERM);
}

TEST(Interrupt, ARunInRoundsGoesOnToTheSameBytes) {
  expect_same_end(
      {"--prune", "lottery-tickets", "--sparsity", "0.8", "--rounds", "1", "--rewind-to", "0.25"},
      SIGINT);
}

TEST(Interrupt, ASecondSignalEndsAtOnce) {
  const TemporaryFolder folder;
  // Steps that take long.
  const pid_t child =
      start_command(training(folder / "run", {"--batch", "400", "--width", "1", "--epochs", "50"}),
                    folder / "log");
  wait_for_run(folder / "run");
  std::this_thread::sleep_for(milliseconds(300));
  ::kill(child, SIGINT);
  std::this_thread::sleep_for(milliseconds(20));
  const End end = wait_or_signal(child, milliseconds(0), SIGINT);
  if (end.by_signal == 0) GTEST_SKIP() << "the step ended between two signals";
  EXPECT_EQ(end.by_signal, SIGINT);
}

TEST(Interrupt, AnExperimentStopsToo) {
  const TemporaryFolder folder;
  const std::vector<std::string> command = {
      "experiment", "run", "layer-density", "--preset", "smoke", "--out", folder.path().string()};
  const pid_t child = start_command(command, folder / "log");
  const auto deadline = Clock::now() + std::chrono::minutes(1);
  while (slurp(folder / "log").find("epoch") == std::string::npos && Clock::now() < deadline) {
    std::this_thread::sleep_for(milliseconds(5));
  }
  const End end = wait_or_signal(child, milliseconds(0), SIGINT);
  const std::string told = slurp(folder / "log");
  EXPECT_EQ(end.code, kExitInterrupted) << told;
  EXPECT_NE(told.find("go on with: " ESPALIER_COMMAND " experiment run layer-density"),
            std::string::npos)
      << told;
  EXPECT_EQ(told.find("failed"), std::string::npos) << told;
}

TEST(Interrupt, OfOneWithinAnotherTheOutermostRemembers) {
  const InterruptScope outer;
  EXPECT_FALSE(is_interrupted());
  {
    const InterruptScope inner;
    ::raise(SIGTERM);
    EXPECT_TRUE(is_interrupted());
  }
  EXPECT_TRUE(is_interrupted());
  try {
    stop_if_interrupted("here");
    ADD_FAILURE() << "went on";
  } catch (const Interrupted& stop) {
    EXPECT_EQ(stop.where, "here");
  }
}

TEST(Interrupt, IsForgottenBehindTheScope) {
  {
    const InterruptScope scope;
    ::raise(SIGINT);
  }
  EXPECT_FALSE(is_interrupted());
  const InterruptScope next;
  EXPECT_FALSE(is_interrupted());
  EXPECT_NO_THROW(stop_if_interrupted("nowhere"));
}

}  // namespace
}  // namespace espalier::experiments
