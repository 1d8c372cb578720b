// SPDX-License-Identifier: Apache-2.0
/// What holds for every structured method: after training with it, shrinking gives a physically
/// smaller network with the same outputs, also across residual sums.
#include <cmath>

#include <gtest/gtest.h>

#include <espalier/nn/models/registry.h>
#include <espalier/nn/module/trace.h>
#include <espalier/nn/train/sgd.h>
#include <espalier/prune/structure/shrink.h>
#include <espalier/prune/tests/tiny.h>

namespace espalier::prune {
namespace {

using testing::tiny_loader;

constexpr double kLogitTolerance = 1e-5;  // of the largest logit

Tensor logits(nn::Module& model, const Tensor& images) {
  const nn::EvalScope eval(model);
  const NoGrad no_grad;
  return model(Variable(images)).value();
}

class StructuredMethod : public ::testing::TestWithParam<std::string> {};

TEST_P(StructuredMethod, ShrinksToASmallerNetworkWithTheSameOutputs) {
  nn::ModelOptions options;
  options.width = 0.5;
  options.image = {3, 8, 8};
  options.num_classes = 3;
  auto net = nn::make_model("resnet20", options);
  std::map<std::string, std::string> given = {
      {"pattern", "channel"}, {"sparsity", "0.5"}, {"min-per-layer", "1"}};
  const Method& chosen = method(GetParam());
  for (const Option& option : chosen.options) {
    if (option.name == "rounds" || option.name == "batches") given[option.name] = "2";
    if (option.name == "episodes") given[option.name] = "4";
  }
  auto hook =
      make_pruner(GetParam(), parse_settings(chosen, given), {.input_shape = {3, 8, 8}, .seed = 4});
  nn::Sgd sgd(*net, {.lr = 0.02, .momentum = 0.9}, 1e-3);
  auto loader = tiny_loader();
  nn::fit(*net, sgd, nn::ConstantLr(0.02), *loader, {hook.get()}, {.epochs = 2});

  loader->start_epoch(0);
  const Tensor images = loader->next().value().images;
  const Tensor before = logits(*net, images);
  const ResizeReport report = shrink(*net, nn::example_input("resnet20", options), &sgd);
  EXPECT_LT(report.channels, report.channels_before);
  EXPECT_LT(static_cast<double>(report.params), 0.85 * static_cast<double>(report.params_before));
  const auto a = before.to_vector<double>();
  const auto b = logits(*net, images).to_vector<double>();
  ASSERT_EQ(a.size(), b.size());
  double largest = 0.0;
  for (const double logit : a) largest = std::max(largest, std::abs(logit));
  for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], kLogitTolerance * largest);
}

std::vector<std::string> structured_methods() {
  std::vector<std::string> names;
  for (const Method& one : methods()) {
    if (one.speedup() == Speedup::Structured && one.patterns.front() == "channel") {
      names.push_back(one.name);
    }
  }
  return names;
}

INSTANTIATE_TEST_SUITE_P(Registry,
                         StructuredMethod,
                         ::testing::ValuesIn(structured_methods()),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace espalier::prune
