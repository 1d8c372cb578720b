// SPDX-License-Identifier: Apache-2.0
// Files of plans with gated blocks whose guards, joins or decisions are broken.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include <espalier/core/safetensors.h>
#include <espalier/core/tests/temporary_folder.h>
#include <espalier/nn/layers/residual.h>
#include <espalier/nn/layers/sequential.h>
#include <espalier/nn/plan/plan.h>
#include <espalier/nn/tests/block_gates.h>

namespace espalier::nn {
namespace {

using espalier::testing::TemporaryFolder;
using nlohmann::json;

constexpr const char* kKey = "espalier_plan";

/// Steps: 0 the decision, 1 the first convolution, 2 the second with the shortcut, 3 a pool; their
/// values are 1 to 4.
class BadBlockFile : public ::testing::Test {
 protected:
  BadBlockFile() : path_(folder_ / "plan.safetensors") {
    auto main = std::make_shared<Sequential>();
    main->add("first", Conv2d({.in_channels = 3, .out_channels = 3, .padding = 1}));
    main->add("relu", ReLU());
    main->add("second", Conv2d({.in_channels = 3, .out_channels = 3, .padding = 1}));
    Sequential net;
    net.add("block", Residual({.main = main}));
    net.add("pool", MaxPool2d({.kernel = 2}));
    init_parameters(net, 3);
    add_block_gate(block_sites(net).front(), random_head("gumbel-head", 3, "one", Opens::Some));
    compile(net, Variable(Tensor::zeros({1, 3, 4, 4}))).save(path_);
    file_ = load_safetensors(path_);
    plan_ = json::parse(file_.metadata.at(kKey));
  }

  json& step(size_t number) { return plan_["steps"][number]; }
  void expect_complaint(const std::string& part) {
    file_.metadata[kKey] = plan_.dump();
    save_safetensors(path_, file_);
    const std::string text = message_of<IoError>([&] { InferencePlan::load(path_); });
    EXPECT_NE(text.find(part), std::string::npos) << text;
    EXPECT_NE(text.find(path_.string()), std::string::npos) << text;
  }

  TemporaryFolder folder_;
  std::filesystem::path path_;
  SafetensorsFile file_;
  json plan_;
};

TEST_F(BadBlockFile, IsGoodBefore) {
  ASSERT_EQ(plan_["steps"].size(), 4u);
  EXPECT_EQ(step(0)["kind"], "decision");
  EXPECT_EQ(step(1)["guard"], step(0)["output"]);
  EXPECT_EQ(step(2)["join"], step(0)["output"]);
  EXPECT_FALSE(step(2).contains("guard"));
  EXPECT_EQ(plan_["values"][step(0)["output"].get<size_t>()]["shape"], json({1}));
  EXPECT_NO_THROW(InferencePlan::load(path_));
}

TEST_F(BadBlockFile, IsGuardedByALaterDecision) {
  std::swap(step(0), step(1));
  for (const char* of : {".weight", ".bias"})
    std::swap(file_.tensors[std::string("step0") + of], file_.tensors[std::string("step1") + of]);
  for (const char* of : {".hidden", ".hidden_bias"}) {
    file_.tensors[std::string("step1") + of] =
        file_.tensors.extract(std::string("step0") + of).mapped();
  }
  expect_complaint("has a guard that nothing decided before");
}

TEST_F(BadBlockFile, IsGuardedByAValueThatIsNoDecision) {
  step(2)["guard"] = step(1)["output"];
  expect_complaint("has a guard that nothing decided before");
}

TEST_F(BadBlockFile, IsGuardedByAValueThatDoesNotExist) {
  step(1)["guard"] = 1000000;
  expect_complaint("has a guard that nothing decided before");
}

TEST_F(BadBlockFile, JoinsAValueThatIsNoDecision) {
  step(2)["join"] = 0;
  expect_complaint("has a join that nothing decided before");
}

TEST_F(BadBlockFile, JoinsNoShortcut) {
  step(1)["join"] = step(0)["output"];
  expect_complaint("has a join, but no shortcut");
}

TEST_F(BadBlockFile, ReadsAClosedBranchWithoutAGuard) {
  step(2).erase("join");
  expect_complaint("reads what a closed branch leaves out");
}

TEST_F(BadBlockFile, TakesTheBranchForTheShortcut) {
  step(2)["inputs"] = {step(2)["inputs"][1], step(2)["inputs"][0]};
  expect_complaint("reads what a closed branch leaves out");
}

TEST_F(BadBlockFile, LeavesOutWhatFollows) {
  step(2)["guard"] = step(0)["output"];
  expect_complaint("reads what a closed branch leaves out");
}

TEST_F(BadBlockFile, LeavesOutItsOutput) {
  step(3)["guard"] = step(0)["output"];
  expect_complaint("a closed branch leaves out its output");
}

TEST_F(BadBlockFile, DecidesByMoreThanOneNumber) {
  plan_["values"][step(0)["output"].get<size_t>()]["shape"] = {2};
  expect_complaint("by one number");
}

TEST_F(BadBlockFile, DecidesByAHiddenLayerOfAnotherSize) {
  file_.tensors["step0.hidden"] = Tensor::zeros({7, 4});
  expect_complaint("a hidden layer that does not fit");
}

TEST_F(BadBlockFile, DecidesByThreeClasses) {
  file_.tensors["step0.weight"] = Tensor::zeros({3, 7});
  file_.tensors["step0.bias"] = Tensor::zeros({3});
  expect_complaint("a weight that does not fit");
}

TEST_F(BadBlockFile, HasNoThreshold) {
  step(0).erase("least");
  expect_complaint("least");
}

TEST_F(BadBlockFile, LosesAHiddenBias) {
  file_.tensors.erase("step0.hidden_bias");
  expect_complaint("step0.hidden_bias");
}

}  // namespace
}  // namespace espalier::nn
