// SPDX-License-Identifier: Apache-2.0
/// Two trainings of a second that many tests look at. Tests only.
#pragma once

#include <espalier/experiments/failure.h>

#include "command_line.h"

namespace espalier::experiments {

inline const std::vector<std::string> kGradual = {"--prune", "gmp", "--sparsity", "0.8"};

/// One dense and one pruned run, shared by the tests that only read them.
class Runs : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new espalier::testing::TemporaryFolder;
    auto json = kGradual;
    json.push_back("--json");
    dense_ = new Outcome(espalier_command(tiny_training(*folder_ / "dense")));
    pruned_ = new Outcome(espalier_command(tiny_training(*folder_ / "pruned", json)));
  }
  static void TearDownTestSuite() {
    delete folder_;
    delete dense_;
    delete pruned_;
  }
  void SetUp() override {
    ASSERT_EQ(dense_->code, kExitOk) << dense_->err;
    ASSERT_EQ(pruned_->code, kExitOk) << pruned_->err;
  }
  static std::string path(const char* name) { return (*folder_ / name).string(); }

  inline static espalier::testing::TemporaryFolder* folder_ = nullptr;
  inline static Outcome* dense_ = nullptr;
  inline static Outcome* pruned_ = nullptr;
};

}  // namespace espalier::experiments
