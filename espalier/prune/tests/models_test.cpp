// SPDX-License-Identifier: Apache-2.0
/// Structured pruning on networks of the zoo: who loses channels, and that shrinking is exact.
#include <cmath>

#include <gtest/gtest.h>

#include <espalier/nn/introspect/counting.h>
#include <espalier/nn/models/registry.h>
#include <espalier/nn/module/trace.h>
#include <espalier/prune/drive/registry.h>
#include <espalier/prune/structure/shrink.h>
#include <espalier/prune/update/mask_update.h>

namespace espalier::prune {
namespace {

constexpr double kLogitTolerance = 1e-5;
const Shape kImage = {3, 32, 32};

Variable sample() {
  Tensor x = Tensor::empty({1, 3, 32, 32});
  Rng rng(1, "sample");
  fill_normal_(x, rng);
  return Variable(x);
}

std::vector<float> logits(nn::Module& model) {
  const NoGrad no_grad;
  const nn::EvalScope eval(model);
  return model(sample()).value().to_vector<float>();
}

UpdateReport prune_with(nn::Module& model, const std::map<std::string, std::string>& options) {
  const PruneSettings settings = parse_settings(method("l1-filters"), options);
  auto pruner = make_pruner("l1-filters", settings, {.input_shape = kImage});
  return pruner->prune(model, nullptr, settings.final());
}

/// Shrinks and compares with the masked network.
void expect_exact_shrink(nn::Module& model) {
  const std::vector<float> masked = logits(model);
  shrink(model, sample());
  const std::vector<float> small = logits(model);
  ASSERT_EQ(masked.size(), small.size());
  for (size_t i = 0; i < masked.size(); ++i) EXPECT_NEAR(masked[i], small[i], kLogitTolerance);
}

TEST(L1Filters, OfAResidualNetworkPrunesTheFirstConvolutionOfEveryBlockOnly) {
  auto model = nn::make_model("resnet20");
  const UpdateReport report = prune_with(*model, {{"sparsity", "0.25"}});
  for (const nn::NamedParameter& one : model->named_parameters()) {
    const bool filters_go = one.name.find(".conv1.weight") != std::string::npos;
    const bool inputs_go = one.name.find(".conv2.weight") != std::string::npos;
    if (filters_go || inputs_go) {
      EXPECT_EQ(one.parameter->nnz() * 4, one.parameter->numel() * 3) << one.name;
    } else if (one.name.find(".bn1.") == std::string::npos) {
      EXPECT_EQ(one.parameter->nnz(), one.parameter->numel()) << one.name;
    }
  }
  bool told = false;
  for (const std::string& note : report.notes) {
    told = told || note.find("conv1.weight keeps its channels: a sum of") != std::string::npos;
  }
  EXPECT_TRUE(told) << "the stem's residual sum should be named";
  expect_exact_shrink(*model);
}

TEST(L1Filters, VggAOfThePaperHasItsWidthsAndItsMacs) {
  auto model = nn::make_model("vgg16", {.width = 0.25});  // of the paper's widths
  std::string halved;
  for (const char* layer : {"0", "24", "27", "30", "34", "37", "40"}) {
    halved += std::string(halved.empty() ? "" : ",") + "features." + layer + "=0.5";
  }
  prune_with(*model, {{"sparsity", "0"}, {"layer-sparsity", halved}});
  expect_exact_shrink(*model);

  const std::vector<int64_t> widths = {8, 16, 32, 32, 64, 64, 64, 64, 64, 64, 64, 64, 64};
  const std::vector<int64_t> sides = {32, 32, 16, 16, 8, 8, 8, 4, 4, 4, 2, 2, 2};
  int64_t channels = 3;
  int64_t macs = 64 * 10;
  for (size_t l = 0; l < widths.size(); ++l) {
    macs += channels * widths[l] * 9 * sides[l] * sides[l];
    channels = widths[l];
  }
  EXPECT_EQ(nn::count_model(*model, kImage).total.macs_dense, macs);
}

TEST(ChannelPattern, GlobalMagnitudeShrinksExactlyToo) {
  auto model = nn::make_model("resnet20");
  const PruneSettings settings = parse_settings(
      method("magnitude"), {{"sparsity", "0.4"}, {"pattern", "channel"}, {"min-per-layer", "2"}});
  auto pruner = make_pruner("magnitude", settings, {.input_shape = kImage});
  const UpdateReport report = pruner->prune(*model, nullptr, settings.final());
  EXPECT_GT(report.sparsity().value(), 0.3);
  expect_exact_shrink(*model);
}

TEST(PrunableWeights, AreConvolutionsAndLinearLayersOfEveryKindOfModel) {
  auto resnet = nn::make_model("resnet20");
  EXPECT_EQ(prunable_weights(*resnet).size(), 20U);
  EXPECT_EQ(prunable_weights(*resnet).front().name, "conv1.weight");
  EXPECT_EQ(prunable_weights(*resnet).back().name, "fc.weight");
  auto vgg = nn::make_model("vgg16", {.width = 0.125});
  EXPECT_EQ(prunable_weights(*vgg).size(), 14U);
}

TEST(PrunableWeights, AreWhatTheCounterCounts) {
  for (const char* name : {"resnet20", "mobilenetv2"}) {
    auto model = nn::make_model(name, {.width = 0.5});
    int64_t weights = 0;
    for (const nn::NamedParameter& weight : prunable_weights(*model))
      weights += weight.parameter->numel();
    EXPECT_EQ(weights, nn::count_model(*model, kImage).total.weights) << name;
  }
}

}  // namespace
}  // namespace espalier::prune
