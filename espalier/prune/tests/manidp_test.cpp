// SPDX-License-Identifier: Apache-2.0
/// ManiDP: the card's numbers, PyTorch's step (oracles/manidp.py), and the traps.
#include <gtest/gtest.h>

#include <cmath>

#include <espalier/autograd/ops.h>
#include <espalier/nn/gates/attach.h>
#include <espalier/nn/models/registry.h>
#include <espalier/nn/module/trace.h>
#include <espalier/nn/train/sgd.h>
#include <espalier/prune/penalties/manifold.h>
#include <espalier/prune/tests/gated_script.h>

namespace espalier::prune {
namespace {

using testing::chain_of_script;
using testing::fill_as_script;
using testing::gradients_of_script;
using testing::tiny_residual_net;

std::unique_ptr<Pruner> manidp(OptionTexts given = {}, const Shape& image = {3, 8, 8}) {
  given.emplace("sparsity", "0.4");
  return make_pruner(
      "manidp", parse_settings(method("manidp"), given), {.input_shape = image, .seed = 4});
}

std::vector<nn::ThresholdHead*> threshold_heads_of(nn::Module& net) {
  std::vector<nn::ThresholdHead*> out;
  for (const nn::PlacedGate& one : nn::placed_gates(net)) {
    out.push_back(dynamic_cast<nn::ThresholdHead*>(one.decision));
  }
  return out;
}

// The card: mean loss 1, C = .5: losses .1, .3, .6 weigh .8, .4, 0.
TEST(ManiDp, EasyImagesAreThoseBelowHalfOfTheLastMeanLoss) {
  const std::vector<double> losses = {0.1, 0.3, 0.6};
  const std::vector<double> ease = ease_of_samples(losses, 0.5 * 1.0);
  EXPECT_NEAR(ease[0], 0.8, 1e-12);
  EXPECT_NEAR(ease[1], 0.4, 1e-12);
  EXPECT_EQ(ease[2], 0.0);
  EXPECT_EQ(ease_of_samples(losses, 0.0), (std::vector<double>{0, 0, 0}));  // the first epoch
}

Variable matrix(const Shape& shape, const std::vector<float>& values) {
  return Variable(Tensor::from<float>(shape, values));
}

// The card: equal samples have equal rows in both matrices; gates at a right angle for equal
// features cost.
TEST(ManiDp, SimilarImagesShouldHaveSimilarGates) {
  const Variable equal = matrix({2, 3}, {1, 2, 3, 1, 2, 3});
  EXPECT_NEAR(similarity_loss(equal, matrix({2, 2}, {0.5F, 4, 0.5F, 4})).item(), 0.0, 1e-9);
  // R = ones against the identity: two entries of four differ by 1.
  EXPECT_NEAR(similarity_loss(equal, matrix({2, 2}, {1, 0, 0, 3})).item(), 0.5, 1e-6);
  // The length of a vector does not matter, its direction does.
  EXPECT_NEAR(similarity_loss(matrix({2, 2}, {1, 0, 5, 5}), matrix({2, 2}, {7, 0, 1, 1})).item(),
              0.0,
              1e-9);
}

// A row of zeros, a gate that closes everything, has no direction and no derivative that is none.
TEST(ManiDp, SimilarityOfClosedGatesIsFinite) {
  Variable zeros(Tensor::zeros({2, 2}), true);
  similarity_loss(zeros, matrix({2, 2}, {1, 0, 0, 1})).backward();
  for (const double g : zeros.grad().value().to_vector<double>()) EXPECT_TRUE(std::isfinite(g));
}

/// A gate whose pi are 10, 9, .. 1 for every image.
void fill_descending(nn::ThresholdHead& head) {
  head.weight.value.value().fill_(0.0);
  const int64_t channels = head.bias.numel();
  for (int64_t c = 0; c < channels; ++c) {
    head.bias.value.value().data<float>()[c] = static_cast<float>(channels - c);
  }
}

// The card: target .6 over 400 epochs: about 1 at first, .8 after 200, about .6 after 399. Of ten
// channels with means 10, 9, .. 1 the threshold is that of the last, of the 8th, of the 7th (.6 and
// a little of ten, rounded up), and of the 6th at the end.
TEST(ManiDp, TheKeptShareFallsAlongACosine) {
  auto net = std::make_unique<nn::Sequential>();
  net->add(nn::Conv2d({.in_channels = 3, .out_channels = 4, .kernel = 1}));
  net->add(nn::Conv2d({.in_channels = 4, .out_channels = 10, .kernel = 1}));
  const auto hook = manidp();
  hook->attach(*net);
  nn::ThresholdHead& head = *threshold_heads_of(*net)[0];
  fill_descending(head);
  nn::Sgd sgd(*net, {}, 0.0);
  net->train();
  const Variable x(Tensor::ones({2, 4, 1, 1}));
  EXPECT_EQ(head.threshold(), -1e4);
  for (const auto& [epoch, threshold] :
       std::vector<std::pair<int64_t, double>>{{0, -1e4}, {1, 1.0}, {200, 3.0}, {399, 4.0}}) {
    nn::TrainState state{.model = *net,
                         .optimizer = sgd,
                         .epoch = epoch,
                         .step = 7 * epoch,
                         .total_steps = 7 * 400,
                         .steps_per_epoch = 7};
    head.decide(x);
    hook->before_step(state);
    EXPECT_NEAR(head.threshold(), threshold, 1e-6) << epoch;
    // Trap: inside of an epoch nothing moves.
    state.step += 3;
    head.decide(x);
    hook->before_step(state);
    EXPECT_NEAR(head.threshold(), threshold, 1e-6) << epoch;
  }
  nn::TrainState end{.model = *net,
                     .optimizer = sgd,
                     .epoch = 400,
                     .step = 7 * 400,
                     .total_steps = 7 * 400,
                     .steps_per_epoch = 7};
  hook->end_of_training(end);
  EXPECT_NEAR(head.threshold(), 5.0, 1e-6);
}

// Trap: the threshold is an epoch's statistic; a batch in evaluation does not move it.
TEST(ManiDp, EvaluationCountsNothing) {
  nn::ThresholdHead head({.inputs = 4, .units = 4});
  fill_descending(head);
  head.train();
  head.decide(Variable(Tensor::ones({2, 4, 1, 1})));
  head.end_epoch(2);
  EXPECT_NEAR(head.threshold(), 3.0, 1e-6);
  head.eval();
  const Variable open = head.decide(Variable(Tensor::ones({1, 4, 1, 1}))).open;
  EXPECT_EQ(open.value().to_vector<double>(), (std::vector<double>{4, 3, 0, 0}));
  head.end_epoch(4);
  EXPECT_NEAR(head.threshold(), 3.0, 1e-6);
}

TEST(ManiDp, WithAllGatesOpenItIsTheDenseNetwork) {
  const auto net = nn::make_model("resnet20");
  Tensor images = Tensor::empty({2, 3, 32, 32});
  Rng rng(1, "images");
  fill_normal_(images, rng);
  const auto answers = [&] {
    const nn::EvalScope eval(*net);
    const NoGrad no_grad;
    return (*net)(Variable(images)).value().to_vector<double>();
  };
  const std::vector<double> before = answers();
  manidp({}, {3, 32, 32})->attach(*net);
  const std::vector<nn::ThresholdHead*> heads = threshold_heads_of(*net);
  ASSERT_EQ(heads.size(), 18U);
  for (nn::ThresholdHead* head : heads) head->weight.value.value().fill_(0.0);  // pi = 1
  const std::vector<double> after = answers();
  for (size_t i = 0; i < before.size(); ++i) EXPECT_NEAR(after[i], before[i], 1e-4);
}

// Two epochs of one step with the same weights: the first sets the threshold and the limit.
TEST(ManiDpOracle, ATrainingStepIsPyTorchs) {
  Oracle oracle(ESPALIER_ORACLES, "manidp");
  auto net = chain_of_script();
  const auto hook = manidp({{"sparsity", "0.5"},
                            {"squeeze", "2"},
                            {"loss-limit", "1"},
                            {"lasso", "0.3"},
                            {"similarity", "0.7"}},
                           {3, 4, 4});
  hook->attach(*net);
  net->to(DType::F64);
  fill_as_script(*net);
  nn::Sgd sgd(*net, {}, 0.0);
  nn::TrainState state{.model = *net, .optimizer = sgd, .total_steps = 2, .steps_per_epoch = 1};
  net->train();
  const Variable images(made({6, 3, 4, 4}, 31));
  for (const char* epoch : {"first", "second"}) {
    hook->before_step(state);
    state.logits = (*net)(images);
    state.labels = Tensor::from<int64_t>({6}, {0, 1, 2, 2, 1, 0});
    const Variable loss = cross_entropy(state.logits, state.labels);
    const Variable penalty = hook->penalty(state);
    oracle.expect(cat(epoch, ".loss"), reshape(loss, {1}).value());
    oracle.expect(cat(epoch, ".penalty"), reshape(penalty, {1}).value());
    net->zero_grad();
    (loss + penalty).backward();
    oracle.expect(cat(epoch, ".gradients"), gradients_of_script(*net));
    ++state.step;
  }
  std::vector<double> thresholds;
  for (const nn::ThresholdHead* head : threshold_heads_of(*net)) {
    thresholds.push_back(head->threshold());
  }
  oracle.expect("thresholds", Tensor::from<double>({2}, thresholds));
  oracle.expect_all_used();
}

// Trap: an ease with a tape would be a reward for larger losses, and train the classifier.
TEST(ManiDp, EaseIsANumberThatTheClassifierDoesNotLearnFrom) {
  auto net = chain_of_script();
  const auto hook = manidp({{"loss-limit", "10"}, {"lasso", "1"}, {"similarity", "0"}}, {3, 4, 4});
  hook->attach(*net);
  nn::Sgd sgd(*net, {}, 0.0);
  nn::TrainState state{.model = *net, .optimizer = sgd, .total_steps = 2, .steps_per_epoch = 1};
  net->train();
  const Variable images(made({6, 3, 4, 4}, 31).to(DType::F32));
  double price = 0.0;
  for (; state.step < 2; ++state.step) {  // in the second epoch there is a limit
    hook->before_step(state);
    state.logits = (*net)(images);
    state.labels = Tensor::from<int64_t>({6}, {0, 1, 2, 2, 1, 0});
    const Variable penalty = hook->penalty(state);
    price = penalty.item();
    net->zero_grad();
    if (price > 0.0) penalty.backward();
  }
  EXPECT_GT(price, 0.0);
  double of_gates = 0.0;
  for (const nn::NamedParameter& one : net->named_parameters()) {
    const Variable grad = one.parameter->value.grad();
    double size = 0.0;
    if (grad.defined()) {
      for (const double g : grad.value().to_vector<double>()) size += std::abs(g);
    }
    if (one.name.starts_with("11.")) {
      EXPECT_EQ(size, 0.0) << one.name;
    }
    if (one.name.find(".gate.") != std::string::npos) of_gates += size;
  }
  EXPECT_GT(of_gates, 0.0);
}

}  // namespace
}  // namespace espalier::prune
