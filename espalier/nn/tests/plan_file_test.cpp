// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <fstream>

#include <nlohmann/json.hpp>

#include <espalier/core/io.h>
#include <espalier/core/safetensors.h>
#include <espalier/core/tests/temporary_folder.h>
#include <espalier/nn/models/registry.h>
#include <espalier/nn/plan/plan.h>
#include <espalier/nn/plan/steps/weights.h>
#include <espalier/nn/tests/plan_support.h>

namespace espalier::nn {
namespace {

using espalier::testing::TemporaryFolder;
using nlohmann::json;

constexpr const char* kKey = "espalier_plan";

TEST(PackedNonzeros, HoldsGapsOfAnyLength) {
  // Positions 0, 2, 2 + 1 + 254, then 600 further: a gap of 599 is 255 + 255 + 89.
  Tensor weight = Tensor::zeros({1000});
  for (const int64_t at : {0, 2, 257, 857}) weight.data<float>()[at] = static_cast<float>(at + 1);
  const plan::PackedNonzeros packed = plan::pack_nonzeros(weight);
  EXPECT_EQ(packed.gaps.to_vector<int>(), (std::vector<int>{0, 1, 254, 255, 255, 89}));
  EXPECT_EQ(packed.values.to_vector<float>(), (std::vector<float>{1, 3, 258, 858}));
  EXPECT_EQ(max_difference(plan::unpack_nonzeros(packed, {1000}), weight), 0.0);
  EXPECT_THROW(plan::unpack_nonzeros(packed, {857}), ValueError);
}

TEST(PackedNonzeros, HoldsAGapThatEndsOnTheMarker) {
  Tensor weight = Tensor::zeros({256});
  weight.data<float>()[255] = 7.0f;
  const plan::PackedNonzeros packed = plan::pack_nonzeros(weight);
  EXPECT_EQ(packed.gaps.to_vector<int>(), (std::vector<int>{255, 0}));
  EXPECT_EQ(max_difference(plan::unpack_nonzeros(packed, {256}), weight), 0.0);
}

TEST(PlanFile, GivesTheSameBitsAgain) {
  const TemporaryFolder folder;
  for (const char* name : {"resnet20", "vgg11", "mobilenetv2", "densenet-bc-10-12", "lenet5"}) {
    for (const double sparsity : {0.0, 0.9}) {
      const auto model = make_model(name, {.width = 0.25});
      if (sparsity > 0.0) mask_randomly(*model, sparsity);
      const Tensor x = random_tensor({18, 3, 32, 32}, 5);
      const InferencePlan plan = compile(*model, Variable(x));
      const auto path = folder.path() / "plan.safetensors";
      plan.save(path);
      const InferencePlan loaded = InferencePlan::load(path);
      EXPECT_EQ(loaded.run(x).to_vector<float>(), plan.run(x).to_vector<float>()) << name;
      EXPECT_EQ(loaded.describe(), plan.describe()) << name;
      EXPECT_EQ(loaded.batch(), 18);
    }
  }
}

TEST(PlanFile, OfVgg16At95PercentIsElevenTimesSmallerThanDense) {
  const TemporaryFolder folder;
  const auto model = make_model("vgg16", {.width = 0.5});
  int64_t dense_bytes = 0;
  for (const NamedParameter& p : model->named_parameters()) dense_bytes += 4 * p.parameter->numel();
  mask_randomly(*model, 0.95);
  const auto path = folder.path() / "plan.safetensors";
  compile(*model, Variable(Tensor::zeros({1, 3, 32, 32}))).save(path);
  EXPECT_GT(dense_bytes, 11 * static_cast<int64_t>(std::filesystem::file_size(path)));
}

class BadPlanFile : public ::testing::Test {
 protected:
  BadPlanFile() : path_(folder_.path() / "plan.safetensors") {
    const auto net = tiny_net();
    mask_randomly(*net, 0.5);
    compile(*net, Variable(Tensor::zeros({1, 1, 8, 8}))).save(path_);
    file_ = load_safetensors(path_);
    plan_ = json::parse(file_.metadata.at(kKey));
  }

  /// What loading says after `plan_` and `file_` were changed.
  std::string complaint() {
    file_.metadata[kKey] = plan_.dump();
    save_safetensors(path_, file_);
    return message_of<IoError>([&] { InferencePlan::load(path_); });
  }
  void expect_complaint(const std::string& part) {
    const std::string text = complaint();
    EXPECT_NE(text.find(part), std::string::npos) << text;
    EXPECT_NE(text.find(path_.string()), std::string::npos) << text;
  }

  TemporaryFolder folder_;
  std::filesystem::path path_;
  SafetensorsFile file_;
  json plan_;
};

TEST_F(BadPlanFile, IsTruncatedAnywhere) {
  const std::vector<uint8_t> bytes = read_file(path_, "plan");
  for (size_t size = 0; size < bytes.size(); size += bytes.size() / 23 + 1) {
    write_file(path_, bytes.data(), static_cast<int64_t>(size));
    EXPECT_THROW(InferencePlan::load(path_), IoError) << size;
  }
}

TEST_F(BadPlanFile, IsMissing) {
  EXPECT_THROW(InferencePlan::load(folder_.path() / "nothing"), IoError);
}

TEST_F(BadPlanFile, HoldsWeightsOnly) {
  file_.metadata.clear();
  save_safetensors(path_, file_);
  const std::string text = message_of<IoError>([&] { InferencePlan::load(path_); });
  EXPECT_NE(text.find("not a compiled plan"), std::string::npos) << text;
}

TEST_F(BadPlanFile, HasAnotherVersion) {
  plan_["version"] = 99;
  expect_complaint("version 99");
}

TEST_F(BadPlanFile, HasAnUnknownStep) {
  plan_["steps"][0]["kind"] = "dance";
  expect_complaint("'dance'");
}

TEST_F(BadPlanFile, HasAFormatWithoutKernel) {
  plan_["steps"][0]["conv"] = {1, 1, 1, 1, 2, 2, 1};
  plan_["steps"][0]["format"] = "winograd";
  expect_complaint("no winograd kernel");
}

TEST_F(BadPlanFile, HasAnUnknownFormat) {
  plan_["steps"][0]["format"] = "folded";
  expect_complaint("'folded'");
}

TEST_F(BadPlanFile, LacksAKey) {
  plan_["steps"][0].erase("inputs");
  expect_complaint("inputs");
}

TEST_F(BadPlanFile, ReadsAValueThatNothingMade) {
  plan_["steps"][0]["inputs"] = {3};
  expect_complaint("which nothing made before");
}

TEST_F(BadPlanFile, ReadsAValueThatDoesNotExist) {
  plan_["steps"][0]["inputs"] = {1000000};
  expect_complaint("which nothing made before");
}

TEST_F(BadPlanFile, WritesTheInput) {
  plan_["steps"][0]["output"] = 0;
  expect_complaint("which is there already");
}

TEST_F(BadPlanFile, HasAShapeThatDoesNotFollow) {
  for (json& value : plan_["values"]) {
    if (value["shape"] == json({5, 8, 8})) value["shape"] = {5, 8, 9};
  }
  expect_complaint("gives (5,8,8)");
}

TEST_F(BadPlanFile, HasAHostileShape) {
  plan_["values"][0]["shape"] = {1 << 30, 1 << 30, 1 << 30};
  expect_complaint("too large");
}

// Nonzeros of some bytes that promise a weight of gigabytes.
TEST_F(BadPlanFile, HasAHostileWeight) {
  plan_["steps"][0]["weight"] = {1 << 14, 1 << 14, 1, 1};
  expect_complaint("too large for it");
}

TEST_F(BadPlanFile, HasAHostileStride) {
  plan_["steps"][0]["conv"][0] = 0;
  expect_complaint("stride");
}

TEST_F(BadPlanFile, SharesMemoryOfAnotherSize) {
  plan_["values"][1]["storage"] = 0;
  expect_complaint("shares memory");
}

TEST_F(BadPlanFile, LosesATensor) {
  file_.tensors.erase("step0.bias");
  file_.tensors.erase("step0.values");
  expect_complaint("step0.weight");
}

TEST_F(BadPlanFile, HasATensorTooMany) {
  file_.tensors["step9.bias"] = Tensor::zeros({1});
  expect_complaint("step9.bias");
}

TEST_F(BadPlanFile, HasGapsThatReachOutside) {
  file_.tensors["step0.gaps"].fill_(254);
  expect_complaint("gaps");
}

TEST_F(BadPlanFile, HasFewerValuesThanGaps) {
  Tensor& values = file_.tensors["step0.values"];
  values = values.slice(0, 0, values.numel() - 1).contiguous();
  expect_complaint("gaps");
}

TEST_F(BadPlanFile, HasABiasOfAnotherSize) {
  file_.tensors["step0.bias"] = Tensor::zeros({4});
  expect_complaint("bias of 5");
}

}  // namespace
}  // namespace espalier::nn
