// SPDX-License-Identifier: Apache-2.0
/// Stripe-wise pruning: the shift-and-add identity, the card's counts, a training next to PyTorch's
/// (oracles/stripe_wise.py), and the traps.
#include <gtest/gtest.h>

#include <espalier/nn/forms/factors.h>
#include <espalier/nn/introspect/counting.h>
#include <espalier/prune/actions/actions.h>
#include <espalier/prune/structure/shrink.h>
#include <espalier/prune/tests/conv_training.h>

namespace espalier::prune {
namespace {

using testing::ConvTraining;
using testing::mask_of;
using testing::Options;

std::unique_ptr<Pruner> stripe_wise(Options given) {
  return make_pruner("stripe-wise",
                     parse_settings(method("stripe-wise"), given),
                     {.input_shape = {2, 4, 4}, .seed = 5});
}

/// out[y] += w in[y stride + i - K/2] for every place (i, j) that a filter keeps, alone.
std::vector<double> shifted_and_added(const Tensor& x,
                                      const Tensor& w,
                                      const std::vector<double>& skeleton,
                                      int64_t stride) {
  const int64_t c = w.size(1);
  const int64_t k = w.size(2);
  const int64_t h = x.size(2);
  const int64_t out_h = (h + 2 * (k / 2) - k) / stride + 1;
  std::vector<double> out(static_cast<size_t>(w.size(0) * out_h * out_h), 0.0);
  const double* in = x.data<double>();
  for (int64_t n = 0; n < w.size(0); ++n) {
    for (int64_t tap = 0; tap < k * k; ++tap) {
      const double fs = skeleton[static_cast<size_t>(n * k * k + tap)];
      if (fs == 0.0) continue;
      for (int64_t y = 0; y < out_h; ++y) {
        for (int64_t z = 0; z < out_h; ++z) {
          const int64_t from_y = y * stride + tap / k - k / 2;
          const int64_t from_z = z * stride + tap % k - k / 2;
          if (from_y < 0 || from_z < 0 || from_y >= h || from_z >= h) continue;
          for (int64_t i = 0; i < c; ++i) {
            out[static_cast<size_t>((n * out_h + y) * out_h + z)] +=
                fs * w.data<double>()[(n * c + i) * k * k + tap] *
                in[(i * h + from_y) * h + from_z];
          }
        }
      }
    }
  }
  return out;
}

TEST(StripeWise, ABrokenLayerGivesWhatItsSkeletonGives) {
  for (const int64_t kernel : {1, 3, 5}) {
    for (const int64_t stride : {1, 2}) {
      nn::Conv2d conv({.in_channels = 3,
                       .out_channels = 4,
                       .kernel = kernel,
                       .stride = stride,
                       .padding = kernel / 2,
                       .bias = false});
      conv.to(DType::F64);
      conv.weight.value.value().copy_(testing::formula(conv.weight.shape(), kernel));
      auto form = std::make_shared<nn::Factors>(
          conv.weight.shape(),
          nn::Factors::Options{.spread = {.grain = nn::Spread::Grain::Stripes}});
      form->to(DType::F64);
      Tensor& fs = form->factors.value.value();
      fs.copy_(testing::formula(fs.shape(), stride));
      for (int64_t i = 0; i < fs.numel(); i += 3) fs.data<double>()[i] = 0.0;
      const std::vector<double> skeleton = fs.to_vector<double>();
      ASSERT_EQ(fs.shape(), (Shape{4, 1, kernel, kernel}));
      conv.form = form;
      const Tensor x = testing::formula({1, 3, 6, 6}, 9);
      const std::vector<double> broken =
          shifted_and_added(x, conv.weight.value.value(), skeleton, stride);
      testing::expect_near(conv(Variable(x)).value(), broken, testing::kExact);
      nn::fold_forms(conv);
      testing::expect_near(conv(Variable(x)).value(), broken, testing::kExact);
    }
  }
}

TEST(StripeWise, AStripeIsAsManyWeightsAsThereAreInputs) {
  // N = 2, K = 3, C = 4: of 18 stripes 5 stay, 20 of 72 weights.
  nn::Conv2d conv({.in_channels = 4, .out_channels = 2, .kernel = 3, .bias = false});
  auto form = std::make_shared<nn::Factors>(
      conv.weight.shape(), nn::Factors::Options{.spread = {.grain = nn::Spread::Grain::Stripes}});
  form->factors.value.value().fill_(0.0);
  for (const int64_t i : {0, 4, 5, 9, 17}) form->factors.value.value().data<float>()[i] = 1.0F;
  conv.form = form;
  EXPECT_EQ(form->support(conv.weight)->nnz(), 20);
  nn::fold_forms(conv);
  EXPECT_EQ(conv.weight.nnz(), 20);
}

TEST(StripeWise, MacsAreThoseOfKeptStripesAtAllPositions) {
  // Trap: filters that are left, times all of the kernel. 5 stripes x 4 inputs x 6 x 6 positions.
  nn::Sequential net;
  nn::Conv2d& conv = net.add(
      nn::Conv2d({.in_channels = 4, .out_channels = 2, .kernel = 3, .padding = 1, .bias = false}));
  auto form = std::make_shared<nn::Factors>(
      conv.weight.shape(), nn::Factors::Options{.spread = {.grain = nn::Spread::Grain::Stripes}});
  form->factors.value.value().fill_(0.0);
  for (const int64_t i : {0, 4, 5, 9, 17}) form->factors.value.value().data<float>()[i] = 1.0F;
  conv.form = form;
  EXPECT_EQ(nn::count_model(net, Shape{4, 6, 6}).total.macs_effective, 5 * 4 * 6 * 6);
  nn::fold_forms(net);
  EXPECT_EQ(nn::count_model(net, Shape{4, 6, 6}).total.macs_effective, 5 * 4 * 6 * 6);
  EXPECT_EQ(nn::count_model(net, Shape{4, 6, 6}).total.macs_dense, 18 * 4 * 6 * 6);
}

TEST(StripeWise, AResidualBlockWithoutStripesIsItsShortcutAndAConstant) {
  // Trap: what is left of the block. Where either convolution has no stripe, it adds what its last
  // norm makes of zero, the same for every image and place.
  for (const char* empty : {"1.main.0.weight", "1.main.3.weight"}) {
    SCOPED_TRACE(empty);
    const auto conv = [](int64_t in) {
      return nn::Conv2d(
          {.in_channels = in, .out_channels = 4, .kernel = 3, .padding = 1, .bias = false});
    };
    nn::Sequential net;
    net.add(conv(2));
    auto main = std::make_shared<nn::Sequential>();
    main->add(conv(4));
    main->add(nn::BatchNorm2d({.channels = 4}));
    main->add(nn::ReLU());
    main->add(conv(4));
    main->add(nn::BatchNorm2d({.channels = 4}));
    nn::Residual& block = net.add(nn::Residual({.main = main, .activation = nullptr}));
    net.add(nn::AdaptiveAvgPool2d(1));
    net.add(nn::Flatten());
    net.add(nn::Linear({.in = 4, .out = 3}));
    net.to(DType::F64);
    int64_t k = 0;
    for (const nn::NamedParameter& one : net.named_parameters()) {
      one.parameter->value.value().copy_(testing::formula(one.parameter->shape(), ++k));
    }
    nn::Parameter& weight = net.parameter(empty);
    weight.set_mask(Tensor::zeros(weight.shape(), DType::U8));
    nn::Sgd sgd(net, {});
    nn::TrainState state{.model = net, .optimizer = sgd};
    const auto pattern = make_pattern("stripe");
    const PruneSettings settings;
    const PruneInputs inputs{.input_shape = {2, 4, 4}};
    silence_empty_filters()->enter({net, &sgd, pattern, settings, inputs}, state);
    net.eval();
    const Tensor x = testing::formula({2, 4, 4, 4}, 9);
    const std::vector<double> in = x.to_vector<double>();
    const std::vector<double> out = block(Variable(x)).value().to_vector<double>();
    for (size_t i = 0; i < in.size(); ++i) {
      const size_t channel = i / 16 % 4;
      EXPECT_NEAR(out[i] - in[i], out[channel * 16] - in[channel * 16], testing::kExact) << i;
    }
    const Variable images(testing::formula({2, 2, 4, 4}, 20));
    const std::vector<double> before = net(images).value().to_vector<double>();
    const ResizeReport report = shrink(net, Variable(testing::formula({1, 2, 4, 4}, 20)));
    if (std::string(empty) == "1.main.0.weight") {
      EXPECT_EQ(net.parameter(empty).shape(), (Shape{1, 4, 3, 3}));  // no layer can have none
      EXPECT_EQ(report.notes.size(), 1U);
    }
    testing::expect_near(net(images).value(), before, testing::kExact);
  }
}

/// Trains two steps; what the skeletons were before each.
class TwoSteps {
 public:
  TwoSteps(const Options& given, double rate, double momentum) : training({rate, momentum}) {
    const auto pruner = stripe_wise(given);
    pruner->attach(training.net);
    training.net.to(DType::F64);
    skeleton = &dynamic_cast<nn::Factors&>(*nn::form_site(training.net, "0.weight").form());
    start = skeleton->factors.value.value();
    start.data<double>()[0] = 0.1;
    training.run(*pruner, 8, [&](int64_t) {
      values.push_back(skeleton->factors.value.value().to_vector<double>()[0]);
    });
  }
  ConvTraining training;
  nn::Factors* skeleton = nullptr;
  Tensor start;
  std::vector<double> values;
};

TEST(StripeWise, WhatIsCutStaysCutWithoutMomentum) {
  const Options given = {{"sparsity", "0.5"}, {"threshold", "0.2"}, {"prune-at", "1"}};
  const TwoSteps plain(given, 0.1, 0.0);
  for (const double value : plain.values) EXPECT_EQ(value, 0.0);
  // Trap: momentum moves a value that is cut only while it lives; one that fell below the threshold
  // by itself moves on, and is zero again at the next look.
  const Options strong = {
      {"sparsity", "0.5"}, {"threshold", "0.2"}, {"strength", "1"}, {"prune-at", "1"}};
  ConvTraining training;
  const auto pruner = stripe_wise(strong);
  std::vector<double> values;
  nn::Factors* form = nullptr;
  training.run(*pruner, 12, [&](int64_t) {
    if (form == nullptr) {
      form = dynamic_cast<nn::Factors*>(nn::form_site(training.net, "3.weight").form());
    }
    if (form != nullptr) values.push_back(form->factors.value.value().to_vector<double>()[0]);
  });
  bool moved = false;
  for (const double value : values) moved = moved || (value != 0.0 && std::abs(value) < 0.2);
  EXPECT_TRUE(moved);
}

TEST(StripeWise, ThePenaltysGradientAtOneIsAlpha) {
  nn::Factors form({2, 4, 3, 3}, {.spread = {.grain = nn::Spread::Grain::Stripes}});
  (sum(abs(form.factors.value)) * 0.25).backward();
  for (const double g : form.factors.value.grad().value().to_vector<double>()) {
    EXPECT_DOUBLE_EQ(g, 0.25);
  }
}

TEST(StripeWise, EmptyFiltersAreSilencedAndCut) {
  // Trap: a filter of zeros still gives batch norm's shift.
  ConvTraining training;
  nn::Parameter& weight = training.net.parameter("0.weight");
  Tensor mask = Tensor::ones(weight.shape(), DType::U8);
  for (int64_t i = 18; i < 36; ++i) mask.data<uint8_t>()[i] = 0;
  for (int64_t i = 0; i < 10; ++i) mask.data<uint8_t>()[i] = 0;
  weight.set_mask(mask);
  nn::Sgd sgd(training.net, {});
  nn::TrainState state{.model = training.net, .optimizer = sgd};
  const auto pattern = make_pattern("stripe");
  const PruneSettings settings;
  const PruneInputs inputs{.input_shape = {2, 4, 4}};
  silence_empty_filters()->enter({training.net, &sgd, pattern, settings, inputs}, state);
  EXPECT_EQ(mask_of(training.net.parameter("1.weight")), (std::vector<int>{1, 0, 1, 1}));
  EXPECT_EQ(mask_of(training.net.parameter("1.bias")), (std::vector<int>{1, 0, 1, 1}));
  EXPECT_EQ(mask_of(training.net.parameter("4.weight")), (std::vector<int>{1, 1, 1, 1}));
  const Variable x(testing::formula({4, 2, 4, 4}, 20));
  training.net.eval();
  const std::vector<double> before = training.net(x).value().to_vector<double>();
  shrink(training.net, Variable(testing::formula({1, 2, 4, 4}, 20)));
  EXPECT_EQ(training.net.parameter("0.weight").shape(), (Shape{3, 2, 3, 3}));
  testing::expect_near(training.net(x).value(), before, testing::kExact);
}

const ConvTraining::Written& written() {
  static const ConvTraining::Written values = {
#include <espalier/prune/tests/oracles/stripe_wise.inc>
  };
  return values;
}

TEST(StripeWiseOracle, LearnsSkeletonsCutsAndTunesAsPyTorch) {
  ConvTraining training({.lr = 0.1, .momentum = 0.9}, 1e-3);
  const auto pruner = stripe_wise({{"sparsity", "0.5"},
                                   {"select", "threshold"},
                                   {"threshold", "0.3"},
                                   {"strength", "0.082"},
                                   {"prune-at", cat(2.0 / 3.0)}});
  int compared = 0;
  training.run(*pruner, 24, [&](int64_t step) {
    if (step != 15) return;
    for (const char* name : {"0.weight", "3.weight", "8.weight"}) {
      const auto* form = dynamic_cast<const nn::Factors*>(nn::form_site(training.net, name).form());
      ASSERT_NE(form, nullptr);
      testing::expect_near(
          form->factors.value.value(), written().at(cat("skeleton ", name)), testing::kExact);
      ++compared;
    }
  });
  EXPECT_EQ(compared, 3);
  EXPECT_EQ(training.compare(written(), "end"), 5);
  RecordProperty("largest", cat(training.largest));
}

}  // namespace
}  // namespace espalier::prune
