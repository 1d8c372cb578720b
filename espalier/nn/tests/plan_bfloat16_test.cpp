// SPDX-License-Identifier: Apache-2.0
// Plans that hold their weights as bfloat16 multiply the rounded weights, nothing else changes.
#include <espalier/core/kernels/bfloat16.h>
#include <espalier/core/parallel.h>
#include <espalier/core/tests/temporary_folder.h>
#include <espalier/nn/models/registry.h>
#include <espalier/nn/module/trace.h>
#include <espalier/nn/plan/plan.h>
#include <espalier/nn/tests/plan_support.h>

namespace espalier::nn {
namespace {

constexpr double kSameWeights = 1e-4;  // of logits: other orders of sums
constexpr double kRounded = 0.05;      // of logits: weights rounded to one in 256

constexpr CompileOptions kHalf = {.weights = PlanWeights::BFloat16};

std::unique_ptr<Module> network(const std::string& name, double sparsity) {
  ModelOptions options;
  options.width = 0.25;
  auto model = make_model(name, options);
  disturb_batch_norms(*model);
  if (sparsity > 0.0) mask_randomly(*model, sparsity);
  return model;
}

double largest(const Tensor& t) {
  double out = 0.0;
  for (const double value : values(t)) out = std::max(out, std::abs(value));
  return out;
}

class PlanInBFloat16 : public ::testing::TestWithParam<std::pair<std::string, double>> {};

TEST_P(PlanInBFloat16, IsNearTheNetwork) {
  const auto model = network(GetParam().first, GetParam().second);
  const Tensor x = random_tensor({19, 3, 32, 32}, 5);
  const InferencePlan exact = compile(*model, Variable(x));
  const InferencePlan half = compile(*model, Variable(x), kHalf);
  EXPECT_EQ(exact.weights(), PlanWeights::Float32);
  EXPECT_EQ(half.weights(), PlanWeights::BFloat16);
  for (const int64_t n : {1, 19}) {
    const Tensor some = random_tensor({n, 3, 32, 32}, 6);
    const Tensor expected = exact.run(some);
    const double error = max_difference(expected, half.run(some)) / largest(expected);
    EXPECT_GT(error, 0.0) << n << ": nothing is rounded";
    EXPECT_LT(error, kRounded) << n;
  }
}

// Few samples read bfloat16 in some layers, many read float32 everywhere: the weights are the same.
TEST_P(PlanInBFloat16, GivesOneSampleWhatItGivesMany) {
  const auto model = network(GetParam().first, GetParam().second);
  const Tensor x = random_tensor({19, 3, 32, 32}, 7);
  const InferencePlan half = compile(*model, Variable(x), kHalf);
  const Tensor many = half.run(x);
  for (const int64_t n : {0, 3, 18}) {
    const Tensor one = half.run(x.slice(0, n, n + 1).contiguous());
    const Tensor row = many.slice(0, n, n + 1).contiguous();
    EXPECT_LT(max_difference(row, one) / largest(row), kSameWeights) << n;
  }
}

TEST_P(PlanInBFloat16, IsTheSameFromAFileOfHalfTheSize) {
  const auto model = network(GetParam().first, GetParam().second);
  const Tensor x = random_tensor({17, 3, 32, 32}, 8);
  const espalier::testing::TemporaryFolder dir;
  const InferencePlan half = compile(*model, Variable(x), kHalf);
  half.save(dir.path() / "half.plan");
  compile(*model, Variable(x)).save(dir.path() / "exact.plan");
  const InferencePlan again = InferencePlan::load(dir.path() / "half.plan");
  EXPECT_EQ(again.weights(), PlanWeights::BFloat16);
  EXPECT_EQ(values(again.run(x)), values(half.run(x)));
  const Tensor one = x.slice(0, 0, 1).contiguous();
  EXPECT_EQ(values(again.run(one)), values(half.run(one)));
  EXPECT_NE(again.describe().find("rounded to bfloat16"), std::string::npos);
  const auto size = [&](const char* name) {
    return static_cast<double>(std::filesystem::file_size(dir.path() / name));
  };
  // Nonzeros take a byte more each for their place.
  const double least = GetParam().second > 0.0 ? 0.75 : 0.6;
  EXPECT_LT(size("half.plan"), least * size("exact.plan"));
}

INSTANTIATE_TEST_SUITE_P(Zoo,
                         PlanInBFloat16,
                         ::testing::Values(std::pair("vgg16", 0.0),
                                           std::pair("vgg16", 0.9),
                                           std::pair("resnet20", 0.0),
                                           std::pair("mobilenetv2", 0.0)),
                         [](const auto& info) {
                           return info.param.first + (info.param.second > 0.0 ? "_sparse" : "");
                         });

TEST(PlanInBFloat16, HasTheSameBitsOnAnyNumberOfThreads) {
  const auto model = network("vgg16", 0.0);
  const Tensor x = random_tensor({1, 3, 32, 32}, 9);
  const InferencePlan half = compile(*model, Variable(x), kHalf);
  set_num_threads(1);
  const auto one = values(half.run(x));
  for (const int threads : {2, 7}) {
    set_num_threads(threads);
    EXPECT_EQ(values(half.run(x)), one) << threads;
  }
  set_num_threads(0);
}

}  // namespace
}  // namespace espalier::nn
