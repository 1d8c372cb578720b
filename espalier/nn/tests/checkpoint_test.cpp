// SPDX-License-Identifier: Apache-2.0
// A network trained elsewhere, with PyTorch, gives here the accuracy that it has there. Needs the
// real CIFAR-10 under ESPALIER_DATA and resnet20_cifar10.safetensors under ESPALIER_CHECKPOINTS.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include <espalier/core/safetensors.h>
#include <espalier/nn/models/registry.h>
#include <espalier/nn/train/fit.h>

namespace espalier::nn {
namespace {

constexpr int64_t kPublishedCorrect = 9173;
constexpr int64_t kRounding = 2;  // images that another summation order may tip over

TEST(Checkpoint, PublishedResNet20HasItsPublishedAccuracy) {
  const char* data_root = std::getenv("ESPALIER_DATA");
  const char* checkpoints = std::getenv("ESPALIER_CHECKPOINTS");
  if (data_root == nullptr || checkpoints == nullptr) {
    GTEST_SKIP() << "set ESPALIER_DATA and ESPALIER_CHECKPOINTS to run this test";
  }
  const auto path = std::filesystem::path(checkpoints) / "resnet20_cifar10.safetensors";
  const auto model = make_model("resnet20");
  model->load_state_dict(load_safetensors(path).tensors);
  data::Loader loader(
      data::open_dataset("cifar10", data::Split::Test, data_root),
      {.batch_size = 256, .mean = {0.485f, 0.456f, 0.406f}, .stddev = {0.229f, 0.224f, 0.225f}});
  const Evaluation result = evaluate(*model, loader);
  EXPECT_EQ(result.total, 10000);
  EXPECT_NEAR(result.correct, kPublishedCorrect, kRounding);
}

}  // namespace
}  // namespace espalier::nn
