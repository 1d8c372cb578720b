// SPDX-License-Identifier: Apache-2.0
/// Taylor and Fisher scores against numbers worked out by hand and against finite differences.
#include <cmath>

#include <gtest/gtest.h>

#include <espalier/autograd/ops.h>
#include <espalier/nn/models/registry.h>
#include <espalier/nn/module/trace.h>
#include <espalier/prune/scores/fisher.h>
#include <espalier/prune/scores/taylor.h>
#include <espalier/prune/structure/channel_graph.h>
#include <espalier/prune/tests/tiny.h>
#include <espalier/prune/update/mask_update.h>

namespace espalier::prune {
namespace {

using testing::linear_chain;
using testing::mask_of;
using testing::tiny_conv_net;
using testing::tiny_loader;

constexpr double kScoreTolerance = 1e-6;
constexpr double kDifferenceTolerance = 1e-5;  // of float64 finite differences

/// A batch of these images, and the mean over samples of sum(output * weights of the sample).
PruneInputs linear_loss(const Tensor& images, const Tensor& weights) {
  return {.batch =
              [images](int64_t) {
                return data::Batch{images, Tensor::zeros({images.size(0)}, DType::I64)};
              },
          .loss =
              [weights](const Variable& y, const Tensor&) {
                const Variable w(weights.reshape(y.shape()).to(y.layout()));
                return mul(sum(mul(y, w)), 1.0 / static_cast<double>(y.size(0)));
              },
          .input_shape = {images.size(1), images.size(2), images.size(3)}};
}

/// A 1x1 convolution that passes its input on: activation a = image, dL_n/da = weights.
std::unique_ptr<nn::Sequential> identity_conv() {
  auto net = std::make_unique<nn::Sequential>();
  auto& conv =
      net->add(nn::Conv2d({.in_channels = 1, .out_channels = 1, .kernel = 1, .bias = false}));
  conv.weight.value.value().fill_(1.0);
  return net;
}

PruneInputs two_samples() {
  return linear_loss(Tensor::from<float>({2, 1, 2, 2}, {1, 2, 3, 4, 1, 1, 1, 1}),
                     Tensor::from<float>({2, 1, 2, 2}, {.1F, 0, 0, -.1F, .2F, .2F, .2F, .2F}));
}

double raw(const std::string& name,
           nn::Module& net,
           const PruneInputs& inputs,
           const std::map<std::string, std::string>& given = {}) {
  return raw_scores(name, net, parse_settings(method(name), given), inputs)
      .at("0.weight")
      .to_vector<double>()
      .front();
}

TEST(Fisher, SquaresEachSamplesSumOverSpace) {
  // g = (-0.3, 0.8); 1/2 mean(0.09, 0.64). The square of the mean would be 0.03125, the sum of
  // squares over space another number again.
  auto net = identity_conv();
  EXPECT_NEAR(raw("fisher", *net, two_samples()), 0.1825, kScoreTolerance);
}

TEST(Fisher, TheLossOfABatchIsAMeanAndItsGradientsAreNot) {
  // Trap: with gradients of the mean loss, 1/B of each sample's own, beta * dC weighs B^2 too much.
  auto net = identity_conv();
  const Tensor one = Tensor::from<float>({1, 1, 2, 2}, {1, 2, 3, 4});
  const Tensor weight = Tensor::from<float>({1, 1, 2, 2}, {.1F, 0, 0, -.1F});
  const double single = raw("fisher", *net, linear_loss(one, weight));
  const Tensor four = one.expand({4, 1, 2, 2}).contiguous();
  const Tensor weights = weight.expand({4, 1, 2, 2}).contiguous();
  EXPECT_NEAR(raw("fisher", *net, linear_loss(four, weights)), single, kScoreTolerance);
  EXPECT_NEAR(single, 0.045, kScoreTolerance);
}

TEST(Fisher, RanksByLossPerFlopSaved) {
  const std::vector<double> delta = {.10, .03, .04};
  const std::vector<double> saved = {100, 10, 40};
  const std::vector<double> ratio = {.001, .003, .001};
  for (size_t k = 0; k < 3; ++k) {
    EXPECT_NEAR(fisher_rank(delta[k], saved[k], {.cost = FisherCost::Ratio}), ratio[k], 1e-12);
    EXPECT_NEAR(fisher_rank(delta[k], saved[k], {.cost = FisherCost::Beta, .beta = 1e-3}),
                delta[k] - 1e-3 * saved[k],
                1e-12);
    EXPECT_EQ(fisher_rank(delta[k], saved[k], {.cost = FisherCost::None}), delta[k]);
  }
}

TEST(Fisher, AMapCostsFlopsInItsOwnLayerAndInItsReaders) {
  nn::Sequential net;
  const auto conv = [](int64_t in, int64_t out) {
    return nn::Conv2d(
        {.in_channels = in, .out_channels = out, .kernel = 3, .padding = 1, .bias = false});
  };
  net.add(conv(4, 6));
  net.add(nn::ReLU());
  net.add(conv(6, 10));
  const PruneInputs inputs{.input_shape = {4, 8, 8}};
  const auto cost_of = [&] {
    MaskUpdate update(net, make_pattern("channel"), {}, inputs, {});
    EXPECT_EQ(update.sites().size(), 1U);
    Rng rng(1);
    return flops_saved(update.sites()[0], output_positions({net, update.weights(), inputs, rng}));
  };
  EXPECT_EQ(cost_of(), std::vector<double>(6, 4544 + 11520));
  // All of the first layer: 8*8*6 elements of 2*9*4 - 1 FLOPs.
  EXPECT_EQ(6 * 4544, 27264);
  // Costs are those of the network as it is masked: without one input channel of the first layer
  // (the paper recomputes after every removal) a map saves 8*8*2*9 less.
  Tensor mask = Tensor::ones({6, 4, 3, 3}, DType::U8);
  for (int64_t i = 0; i < mask.numel(); ++i) {
    if (i / 9 % 4 == 2) mask.data<uint8_t>()[i] = 0;
  }
  net.parameter("0.weight").set_mask(mask);
  EXPECT_EQ(cost_of(), std::vector<double>(6, 4544 - 1152 + 11520));
}

TEST(Taylor, GateSquaresTheSumAndTheOtherFormSumsSquares) {
  // dL/dw = x = (.5, -.25) for L = y = w.x.
  auto net = linear_chain({{{1, 2}, {1, 2}}});
  const PruneInputs inputs{.batch =
                               [](int64_t) {
                                 return data::Batch{Tensor::from<float>({1, 2}, {.5F, -.25F}),
                                                    Tensor::zeros({1}, DType::I64)};
                               },
                           .loss = [](const Variable& y, const Tensor&) { return sum(y); }};
  EXPECT_NEAR(raw("taylor", *net, inputs), 0.0, kScoreTolerance);
  EXPECT_NEAR(raw("taylor", *net, inputs, {{"form", "sum-of-squares"}}), 0.5, kScoreTolerance);
}

TEST(Taylor, SquaresTheBatchsGradientAndNotTheSamples) {
  // Mean of (-0.3, 0.8) squared; the samples' own would give 0.365.
  auto net = identity_conv();
  EXPECT_NEAR(raw("taylor", *net, two_samples()), 0.0625, kScoreTolerance);
}

TEST(Taylor, AbsoluteFormTakesMeansOfAbsolutesAndNormalizesTheLayer) {
  nn::Sequential net;
  auto& conv =
      net.add(nn::Conv2d({.in_channels = 1, .out_channels = 2, .kernel = 1, .bias = false}));
  conv.weight.value.value().fill_(1.0);
  // Gates of map 0: -0.3 and 0.8, of map 1: 2 and 0. Means of absolutes 0.55 and 1.
  const PruneInputs inputs =
      linear_loss(Tensor::from<float>({2, 1, 2, 2}, {1, 2, 3, 4, 1, 1, 1, 1}),
                  Tensor::from<float>({2, 2, 2, 2},
                                      {.1F,
                                       0,
                                       0,
                                       -.1F,
                                       .2F,
                                       .2F,
                                       .2F,
                                       .2F,  //
                                       .2F,
                                       .2F,
                                       .2F,
                                       .2F,
                                       0,
                                       0,
                                       0,
                                       0}));
  const auto scores =
      raw_scores("taylor", net, parse_settings(method("taylor"), {{"form", "absolute"}}), inputs)
          .at("0.weight")
          .to_vector<double>();
  const double norm = std::hypot(0.55, 1.0);
  EXPECT_NEAR(scores[0], 0.55 / norm, kScoreTolerance);
  EXPECT_NEAR(scores[1], 1.0 / norm, kScoreTolerance);
}

double loss_of(nn::Module& net, const data::Batch& batch) {
  const NoGrad no_grad;
  return cross_entropy(net(Variable(batch.images)), batch.labels).item();
}

TEST(GateGradients, StandBehindBatchNormAndMatchFiniteDifferences) {
  // In front of a batch norm in training mode every such gradient would be zero.
  for (const ScoringMode mode : {ScoringMode::Eval, ScoringMode::Train}) {
    auto net = tiny_conv_net();
    auto loader = tiny_loader();
    const PruneInputs inputs{.batch = batches_like(*loader)};
    data::Batch batch = inputs.batch(0);
    batch.images = batch.images.to(DType::F64);
    net->to(DType::F64);
    for (int64_t c = 0; c < 8; ++c) {  // shifts too, or the gate would be the scale's alone
      net->parameter("1.bias").value.value().data<double>()[c] = 0.1 * static_cast<double>(c - 3);
    }
    const std::vector<nn::NamedParameter> weights = prunable_weights(*net);
    Rng rng(1);
    const auto gates = gate_gradients({*net, weights, inputs, rng}, batch, mode);
    net->train(mode == ScoringMode::Train);
    double largest = 0.0;
    for (int64_t c = 0; c < 8; ++c) {
      double gate = 0.0;
      for (int64_t n = 0; n < batch.size(); ++n) gate += gates[0].at({n, c}) / 16.0;
      double& scale = net->parameter("1.weight").value.value().data<double>()[c];
      double& shift = net->parameter("1.bias").value.value().data<double>()[c];
      const std::pair<double, double> old{scale, shift};
      constexpr double kStep = 1e-6;
      const auto loss_at = [&](double z) {
        scale = old.first * z;
        shift = old.second * z;
        return loss_of(*net, batch);
      };
      const double slope = (loss_at(1 + kStep) - loss_at(1 - kStep)) / (2.0 * kStep);
      loss_at(1);
      EXPECT_NEAR(slope, gate, kDifferenceTolerance * std::max(1.0, std::abs(gate))) << c;
      largest = std::max(largest, std::abs(gate));
    }
    EXPECT_GT(largest, 0.1);
  }
}

/// A small residual network and the channels that its sums tie together.
struct ResidualNetwork {
  std::unique_ptr<nn::Module> net = nn::make_model("resnet20", {.image = {3, 8, 8}, .width = 0.25});
  std::unique_ptr<data::Loader> loader = tiny_loader();
  PruneInputs inputs{.batch = batches_like(*loader), .input_shape = {3, 8, 8}};
  MaskUpdate update{*net, make_pattern("channel"), {}, inputs, {}};
  Rng rng{1};
  ScoreContext context{*net, update.weights(), inputs, rng};
};

TEST(GateGradients, OfLayersThatMakeOneStreamAreAddedPerSample) {
  ResidualNetwork residual;
  const PruneInputs& inputs = residual.inputs;
  MaskUpdate& update = residual.update;
  const ScoreContext& context = residual.context;
  const auto gates = gate_gradients(context, inputs.batch(0), ScoringMode::Eval);
  for (const Site& site : update.sites()) {
    int producers = 0;
    for (const SitePart& part : site.parts) producers += part.scored ? 1 : 0;
    if (producers < 2) continue;
    // Scaling the stream = scaling what its readers see: the sum over their slices of w dL/dw.
    const auto gradients = dense_gradients(context, inputs.batch(0), ScoringMode::Eval);
    const Tensor own = unit_gates(site, update.weights(), gates);
    for (int64_t u = 0; u < site.units; ++u) {
      double by_readers = 0.0;
      for (const SitePart& part : site.parts) {
        if (part.role != SliceRole::Consumer) continue;
        for (size_t w = 0; w < update.weights().size(); ++w) {
          if (update.weights()[w].parameter != part.parameter) continue;
          const auto value = part.parameter->value.value().to_vector<double>();
          for (size_t i = 0; i < value.size(); ++i) {
            if (part.units.unit(static_cast<int64_t>(i)) == u) {
              by_readers += value[i] * gradients[w].data<double>()[i];
            }
          }
        }
      }
      double by_gates = 0.0;
      for (int64_t n = 0; n < 16; ++n) by_gates += own.at({n, u}) / 16.0;
      EXPECT_NEAR(by_gates, by_readers, 1e-4 * std::max(1.0, std::abs(by_readers))) << site.name;
    }
    return;
  }
  FAIL() << "no residual stream";
}

// Trap: layers of one stream add before the square, sample by sample; and what a channel costs
// counts in all of them.
TEST(Fisher, SquaresTheSumOverLayersOfOneStreamPerSampleAndDividesByTheirFlops) {
  ResidualNetwork residual;
  const PruneInputs& inputs = residual.inputs;
  MaskUpdate& update = residual.update;
  const ScoreContext& context = residual.context;
  const auto gates = gate_gradients(context, inputs.batch(0), ScoringMode::Eval);
  const auto ranks =
      fisher_score({.cost = FisherCost::Ratio, .batches = 1, .mode = ScoringMode::Eval})
          ->score_units(context, update.sites());
  const auto positions = output_positions(context);
  int64_t streams = 0;
  for (size_t s = 0; s < update.sites().size(); ++s) {
    const Site& site = update.sites()[s];
    // The gate of each unit in every layer that makes it: (weight, filter).
    std::vector<std::vector<std::pair<size_t, int64_t>>> makers(static_cast<size_t>(site.units));
    for (const SitePart& part : site.parts) {
      for (size_t w = 0; w < update.weights().size(); ++w) {
        if (!part.scored || update.weights()[w].parameter != part.parameter) continue;
        const int64_t filters = part.parameter->shape()[0];
        for (int64_t f = 0; f < filters; ++f) {
          const int64_t unit = part.units.unit(f * part.parameter->numel() / filters);
          if (unit >= 0) makers[static_cast<size_t>(unit)].emplace_back(w, f);
        }
      }
    }
    if (makers.front().size() < 2) continue;
    ++streams;
    const std::vector<double> saved = flops_saved(site, positions);
    for (int64_t u = 0; u < site.units; ++u) {
      double together = 0.0;
      double apart = 0.0;
      for (int64_t n = 0; n < 16; ++n) {
        double sum = 0.0;
        for (const auto& [w, filter] : makers[static_cast<size_t>(u)]) {
          const double gate = gates[w].at({n, filter});
          sum += gate;
          apart += gate * gate / 32.0;
        }
        together += sum * sum / 32.0;
      }
      const double rank = ranks[s][static_cast<size_t>(u)];
      const double own = saved[static_cast<size_t>(u)];
      EXPECT_NEAR(rank * own / together, 1.0, 1e-6) << site.name << " " << u;
      EXPECT_GT(std::abs(apart / together - 1.0), 1e-3) << site.name << " " << u;
    }
  }
  EXPECT_GT(streams, 0);
}

TEST(GateGradients, LeaveNoTraceInTheModel) {
  auto net = tiny_conv_net();
  auto loader = tiny_loader();
  const PruneInputs inputs{.batch = batches_like(*loader)};
  std::map<std::string, std::vector<double>> before;
  for (const auto& [name, tensor] : net->state_dict()) before[name] = tensor.to_vector<double>();
  const std::vector<nn::NamedParameter> weights = prunable_weights(*net);
  Rng rng(1);
  gate_gradients({*net, weights, inputs, rng}, inputs.batch(0), ScoringMode::Train);
  for (const auto& [name, tensor] : net->state_dict()) {
    EXPECT_EQ(before.at(name), tensor.to_vector<double>()) << name;
  }
  EXPECT_FALSE(net->parameter("0.weight").value.grad().defined());
}

TEST(Taylor, RememberedScoresAreSavedAndTakenUpAgain) {
  auto net = tiny_conv_net();
  auto loader = tiny_loader();
  const PruneInputs inputs{.batch = batches_like(*loader), .input_shape = {3, 8, 8}};
  MaskUpdate update(*net, make_pattern("channel"), {}, inputs, {});
  Rng rng(1);
  const ScoreContext context{*net, update.weights(), inputs, rng};
  const auto score = taylor_score({.batches = 2, .momentum = 0.9});
  const auto first = score->score_units(context, update.sites());
  const auto again = taylor_score({.batches = 2, .momentum = 0.9});
  again->load_state(score->state());
  testing::randomize(*net, 9);
  const auto fresh = taylor_score({.batches = 2})->score_units(context, update.sites());
  const auto mixed = again->score_units(context, update.sites());
  for (size_t u = 0; u < mixed[0].size(); ++u) {
    EXPECT_NEAR(mixed[0][u],
                0.9 * first[0][u] + 0.1 * fresh[0][u],
                1e-12 * std::max(1.0, std::abs(mixed[0][u])));
  }
}

}  // namespace
}  // namespace espalier::prune
