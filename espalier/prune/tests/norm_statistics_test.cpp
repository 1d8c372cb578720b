// SPDX-License-Identifier: Apache-2.0
/// Batch norm measured again, against statistics worked by hand and against the formula.
#include <cmath>
#include <cstdlib>
#include <filesystem>

#include <gtest/gtest.h>

#include <espalier/core/safetensors.h>
#include <espalier/nn/layers.h>
#include <espalier/nn/models/registry.h>
#include <espalier/nn/train/fit.h>
#include <espalier/prune/curvature/norm_statistics.h>
#include <espalier/prune/scores/gradients.h>
#include <espalier/prune/tests/calibration.h>

namespace espalier::prune {
namespace {

using testing::expect_near;
using testing::kHand;
using testing::prune_now;

data::Batch batch_of(std::vector<float> values) {
  const auto rows = static_cast<int64_t>(values.size());
  return {Tensor::from<float>({rows, 1}, values), Tensor::zeros({rows}, DType::I64)};
}

class Twice : public nn::Module {
 public:
  Variable forward(const Variable& x) override { return norm(norm(x)); }
  void visit(nn::MemberVisitor& visitor) override { visitor.module("norm", norm); }
  std::string describe() const override { return "Twice"; }

  nn::BatchNorm1d norm{{.channels = 1}};

 protected:
  std::unique_ptr<nn::Module> shallow_copy() const override {
    return std::make_unique<Twice>(*this);
  }
};

TEST(RecalibrateBatchNorm, IsTheMeanOverBatchesByHand) {
  nn::Sequential net;
  auto& norm = net.add(nn::BatchNorm1d({.channels = 1}));
  norm.running_mean.fill_(7.0);
  norm.running_var.fill_(9.0);
  // Means 2 and 6; variances with n - 1: 2 and 8.
  const auto batches = [](int64_t index) {
    return index == 0 ? batch_of({1, 3}) : batch_of({4, 8});
  };
  EXPECT_EQ(recalibrate_batch_norm(net, batches, 2), 1);
  expect_near(norm.running_mean, {4}, kHand);
  expect_near(norm.running_var, {5}, kHand);
}

TEST(RecalibrateBatchNorm, LeavesFlagsAndOtherLayersAlone) {
  nn::Sequential net;
  net.add(nn::Dropout(0.5));
  auto& norm = net.add(nn::BatchNorm1d({.channels = 1}));
  net.train();
  norm.eval();
  recalibrate_batch_norm(
      net,
      [](int64_t) {
        return batch_of({1, 3});
      },
      3);
  expect_near(norm.running_mean, {2}, kHand);  // dropout would have changed it
  EXPECT_TRUE(net.training());
  EXPECT_FALSE(norm.training());
}

TEST(RecalibrateBatchNorm, ALayerUsedTwiceGetsTheMeanOfBothUses) {
  // y = norm(norm(x)): the first use sees mean 2 and variance 2, the second what the first makes of
  // it: mean 0 and variance 1 * n / (n - 1) = 2 (up to eps).
  Twice net;
  recalibrate_batch_norm(
      net,
      [](int64_t) {
        return batch_of({1, 3});
      },
      1);
  expect_near(net.norm.running_mean, {1}, kHand);
  EXPECT_NEAR(net.norm.running_var.item(), 2.0, 1e-4);
}

TEST(RecalibrateBatchNorm, WithoutBatchNormNothingRuns) {
  nn::Sequential net;
  net.add(nn::Linear({.in = 1, .out = 1}));
  const auto never = [](int64_t) -> data::Batch { throw std::logic_error("ran"); };
  EXPECT_EQ(recalibrate_batch_norm(net, never, 2), 0);
  EXPECT_THROW(recalibrate_batch_norm(net, never, 0), ValueError);
}

/// Bright pictures, which a crop that reaches over their border makes darker.
class BrightDataset : public testing::TinyDataset {
 public:
  void read(int64_t index, std::span<uint8_t> pixels) const override {
    testing::TinyDataset::read(index, pixels);
    for (uint8_t& pixel : pixels) pixel = static_cast<uint8_t>(128 + pixel / 2);
  }
};

std::unique_ptr<data::Loader> bright_loader(const data::Augmentation& augmentation) {
  return std::make_unique<data::Loader>(std::make_shared<BrightDataset>(),
                                        data::LoaderOptions{.batch_size = 16,
                                                            .shuffle = augmentation.horizontal_flip,
                                                            .augmentation = augmentation,
                                                            .seed = 1,
                                                            .workers = 0});
}

// A network that was trained on crops, measured again on crops and on whole pictures.
TEST(RecalibrateBatchNorm, OnWhatTrainingSeesWithNothingRemovedChangesNoAnswer) {
  constexpr int64_t kBatches = 100;
  const auto training = bright_loader({.crop_padding = 3, .horizontal_flip = true});
  const auto whole = bright_loader({});
  const auto net = testing::tiny_conv_net();
  nn::Sgd sgd(*net, {.lr = 0.02, .momentum = 0.9});
  nn::fit(*net, sgd, nn::ConstantLr(0.02), *training, {}, {.epochs = 60});
  const auto means = [&] {
    std::vector<double> out;
    for (const char* name : {"1.running_mean", "4.running_mean"}) {
      const auto part = net->state_dict().at(name).to_vector<double>();
      out.insert(out.end(), part.begin(), part.end());
    }
    return out;
  };
  const auto distance = [](const std::vector<double>& a, const std::vector<double>& b) {
    double sum = 0.0;
    for (size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
    return std::sqrt(sum);
  };
  const std::vector<double> accumulated = means();
  const int64_t correct = nn::evaluate(*net, *whole).correct;
  EXPECT_GT(correct, 48);
  const std::map<std::string, Tensor> trained = [&] {
    std::map<std::string, Tensor> copies;
    for (const auto& [name, tensor] : net->state_dict()) copies[name] = tensor.clone();
    return copies;
  }();
  recalibrate_batch_norm(*net, batches_like(*training), kBatches);
  EXPECT_EQ(nn::evaluate(*net, *whole).correct, correct);
  const double with_crops = distance(means(), accumulated);
  net->load_state_dict(trained);
  recalibrate_batch_norm(*net, batches_like(*whole), kBatches);
  EXPECT_GT(distance(means(), accumulated), 3.0 * with_crops);
}

TEST(SparseGptOnBatchNorm, LeavesItAloneWhereNothingIsRemoved) {
  const auto net = testing::tiny_conv_net();
  net->eval();
  std::map<std::string, std::vector<double>> before;
  for (const auto& [name, tensor] : net->state_dict()) before[name] = tensor.to_vector<double>();
  const auto loader = testing::tiny_loader();
  UpdateReport report;
  prune_now("sparsegpt", {{"sparsity", "0"}}, *net, {.batch = batches_like(*loader)}, &report);
  EXPECT_EQ(report.kept(), report.total());
  const auto after = net->state_dict();
  for (const auto& [name, values] : before) {
    EXPECT_EQ(after.at(name).to_vector<double>(), values) << name;
  }
}

// The published ResNet-20 was trained on crops and mirrored pictures. Measured again on whole ones
// it lost three points. Ten thousand pictures: a tolerance of 0.2 points is 20 of them.
TEST(RecalibrateBatchNorm, OfThePublishedResNet20LosesNothing) {
  const char* data_root = std::getenv("ESPALIER_DATA");
  const char* checkpoints = std::getenv("ESPALIER_CHECKPOINTS");
  if (data_root == nullptr || checkpoints == nullptr) {
    GTEST_SKIP() << "set ESPALIER_DATA and ESPALIER_CHECKPOINTS to run this test";
  }
  constexpr int64_t kCorrect = 9173;  // of 10,000, by an independent evaluation
  constexpr int64_t kBatches = 50;
  const auto model = nn::make_model("resnet20");
  model->load_state_dict(
      load_safetensors(std::filesystem::path(checkpoints) / "resnet20_cifar10.safetensors")
          .tensors);
  data::LoaderOptions options{.batch_size = 128,
                              .shuffle = true,
                              .augmentation = {.crop_padding = 4, .horizontal_flip = true},
                              .mean = {0.485F, 0.456F, 0.406F},
                              .stddev = {0.229F, 0.224F, 0.225F},
                              .workers = 0};
  const data::Loader training(data::open_dataset("cifar10", data::Split::Train, data_root),
                              options);
  recalibrate_batch_norm(*model, batches_like(training), kBatches);
  options.shuffle = false;
  options.augmentation = {};
  data::Loader test(data::open_dataset("cifar10", data::Split::Test, data_root), options);
  const nn::Evaluation after = nn::evaluate(*model, test);
  ASSERT_EQ(after.total, 10000);
  EXPECT_LT(std::abs(after.correct - kCorrect), 20);
}

TEST(SparseGptOnBatchNorm, MeasuresItAgainUnlessToldNotTo) {
  for (const bool measured : {true, false}) {
    nn::Sequential net;
    net.add(nn::Linear({.in = 8, .out = 4}));
    auto& norm = net.add(nn::BatchNorm1d({.channels = 4}));
    norm.running_mean.fill_(3.0);
    Tensor rows = testing::random_matrix(64, 8, 3).to(DType::F32);
    testing::Options options = {{"sparsity", "0.5"}};
    if (!measured) options["norm-batches"] = "0";
    prune_now("sparsegpt", options, net, testing::inputs_of(rows));
    if (!measured) {
      expect_near(norm.running_mean, {3, 3, 3, 3}, 0.0);
      continue;
    }
    // The bias alone is what the pruned layer makes of the mean input; here of the exact mean.
    nn::Sequential first;
    auto& linear = first.add(nn::Linear({.in = 8, .out = 4}));
    linear.weight.value.value().copy_(net.parameter("0.weight").value.value());
    linear.bias.value.value().copy_(net.parameter("0.bias").value.value());
    const Tensor y = first(Variable(rows)).value();
    for (int64_t c = 0; c < 4; ++c) {
      double sum = 0.0;
      for (int64_t r = 0; r < 64; ++r) sum += y.at({r, c});
      EXPECT_NEAR(norm.running_mean.at({c}), sum / 64.0, 1e-5);
    }
  }
}

}  // namespace
}  // namespace espalier::prune
