// SPDX-License-Identifier: Apache-2.0
/// Batch norm measured again, against statistics worked by hand and against the formula.
#include <gtest/gtest.h>

#include <espalier/nn/layers.h>
#include <espalier/prune/calibration/norm_statistics.h>
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
