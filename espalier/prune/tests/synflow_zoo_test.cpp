// SPDX-License-Identifier: Apache-2.0
/// SynFlow on the networks of the zoo: a flow passes through all of them, ReLU6 or not.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include <gtest/gtest.h>

#include <espalier/nn/layers/activations.h>
#include <espalier/nn/train/sgd.h>
#include <espalier/prune/structure/flow_graph.h>
#include <espalier/prune/tests/net.h>
#include <espalier/prune/tests/tiny.h>
#include <espalier/prune/tests/zoo.h>

namespace espalier::prune {
namespace {

using Values = std::map<std::string, std::vector<double>>;

Values scores_of(nn::Module& net, const Shape& sample) {
  const auto tensors =
      raw_scores("synflow", net, parse_settings(method("synflow"), {}), {.input_shape = sample});
  Values scores;
  for (const auto& [name, tensor] : tensors) scores[name] = tensor.to_vector<double>();
  return scores;
}

/// Prunes before training as the method does at its defaults, but for `rounds`.
UpdateReport prune_before_training(nn::Module& net, const Shape& sample, const char* rounds) {
  nn::Sgd sgd(net, {.lr = 0.1});
  auto hook = make_pruner("synflow",
                          parse_settings(method("synflow"), {{"rounds", rounds}}),
                          {.input_shape = sample, .seed = 4});
  nn::TrainState state{.model = net, .optimizer = sgd, .total_steps = 10};
  hook->before_training(state);
  return hook->updates().back();
}

/// Channels of planes.
struct Planes {
  int64_t channels, size;
  std::vector<double> at;
};

/// MobileNetV2 of absolute values with ReLU in the place of ReLU6, in loops of float64 that share
/// nothing with the library. Of positive numbers ReLU changes nothing.
class PositiveMobileNet {
 public:
  PositiveMobileNet(nn::Module& model, int64_t classes) : classes_(classes) {
    for (const auto& [name, tensor] : model.state_dict()) {
      for (const double x : tensor.to_vector<double>()) weights_[name].push_back(std::abs(x));
    }
  }

  std::vector<double>& weight(const std::string& name) { return weights_.at(name); }

  /// The sum of the outputs for ones.
  double flow(int64_t size) const {
    Planes x{3, size, std::vector<double>(static_cast<size_t>(3 * size * size), 1.0)};
    x = norm(conv(x, "features.0.0", 3, 1, false), "features.0.1");
    constexpr int64_t kStride[] = {1, 1, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1};
    for (int block = 1; block <= 17; ++block) {
      const std::string at = cat("features.", block, ".conv.");
      const int64_t stride = kStride[block - 1];
      Planes y = x;
      int part = 0;
      if (block > 1) {  // expansion
        y = norm(conv(y, at + "0.0", 1, 1, false), at + "0.1");
        part = 1;
      }
      y = norm(conv(y, cat(at, part, ".0"), 3, stride, true), cat(at, part, ".1"));
      y = norm(conv(y, cat(at, part + 1), 1, 1, false), cat(at, part + 2));
      if (stride == 1 && y.channels == x.channels) {
        for (size_t i = 0; i < y.at.size(); ++i) y.at[i] += x.at[i];
      }
      x = std::move(y);
    }
    x = norm(conv(x, "features.18.0", 1, 1, false), "features.18.1");
    const std::vector<double>& last = weights_.at("classifier.1.weight");
    double sum = 0.0;
    const int64_t area = x.size * x.size;
    for (int64_t i = 0; i < classes_ * x.channels * area; ++i) {
      sum += last[static_cast<size_t>(i / area)] *
             x.at[static_cast<size_t>(i % (x.channels * area))] / static_cast<double>(area);
    }
    for (const double bias : weights_.at("classifier.1.bias")) sum += bias;
    return sum;
  }

 private:
  Planes conv(
      const Planes& x, const std::string& name, int64_t k, int64_t stride, bool per_channel) const {
    const std::vector<double>& w = weights_.at(name + ".weight");
    const int64_t inputs = per_channel ? 1 : x.channels;
    Planes y{static_cast<int64_t>(w.size()) / (inputs * k * k), (x.size - 1) / stride + 1, {}};
    for (int64_t o = 0; o < y.channels; ++o) {
      for (int64_t p = 0; p < y.size * y.size; ++p) {
        double sum = 0.0;
        for (int64_t i = 0; i < inputs; ++i) {
          for (int64_t t = 0; t < k * k; ++t) {
            const int64_t row = p / y.size * stride + t / k - k / 2;
            const int64_t column = p % y.size * stride + t % k - k / 2;
            if (row < 0 || column < 0 || row >= x.size || column >= x.size) continue;
            const int64_t from = ((per_channel ? o : i) * x.size + row) * x.size + column;
            sum += w[static_cast<size_t>((o * inputs + i) * k * k + t)] *
                   x.at[static_cast<size_t>(from)];
          }
        }
        y.at.push_back(sum);
      }
    }
    return y;
  }

  /// Of mean 0 and variance 1.
  Planes norm(Planes x, const std::string& name) const {
    const int64_t area = x.size * x.size;
    for (size_t i = 0; i < x.at.size(); ++i) {
      const size_t channel = i / static_cast<size_t>(area);
      x.at[i] = x.at[i] / std::sqrt(1.0 + 1e-5) * weights_.at(name + ".weight")[channel] +
                weights_.at(name + ".bias")[channel];
    }
    return x;
  }

  int64_t classes_;
  Values weights_;
};

TEST(SynflowZoo, MobileNetScoresAsWithReluInThePlaceOfRelu6) {
  constexpr int64_t kSize = 8;
  constexpr int64_t kClasses = 4;
  const auto model = nn::make_model("mobilenetv2", {.num_classes = kClasses, .width = 0.125});
  const Values scores = scores_of(*model, {3, kSize, kSize});
  PositiveMobileNet positive(*model, kClasses);
  const double flow = positive.flow(kSize);
  // The flow is linear in every single weight, so w dR/dw is what it loses without the weight.
  for (const auto& [name, values] : scores) {
    const size_t step = values.size() / 3;
    for (size_t i = 0; i < values.size(); i += std::max<size_t>(step, 1)) {
      double& w = positive.weight(name)[i];
      const double before = std::exchange(w, 0.0);
      const double lost = flow - positive.flow(kSize);
      w = before;
      EXPECT_NEAR(values[i] / flow, lost / flow, 1e-12) << name << " " << i;
    }
  }
}

TEST(SynflowZoo, MobileNetConservesItsFlow) {
  const auto model = nn::make_model("mobilenetv2", {.width = 0.25});
  const Values scores = scores_of(*model, {3, 32, 32});
  const auto total = [&](const std::string& name) {
    const std::vector<double>& values = scores.at(name + ".weight");
    return std::accumulate(values.begin(), values.end(), 0.0);
  };
  const double flow = total("features.0.0");
  EXPECT_GT(flow, 0.0);
  EXPECT_NEAR(total("features.1.conv.0.0") / flow, 1.0, 1e-9);
  EXPECT_NEAR(total("features.1.conv.1") / flow, 1.0, 1e-9);
  EXPECT_NEAR(total("features.18.0") / flow, 1.0, 1e-9);
  EXPECT_NEAR(total("classifier.1") / flow, 1.0, 1e-9);
  int without_shortcut = 0;
  for (int block = 2; block <= 17; ++block) {
    const std::string at = cat("features.", block, ".conv.");
    EXPECT_NEAR(total(at + "1.0") / total(at + "0.0"), 1.0, 1e-9) << at;
    EXPECT_NEAR(total(at + "2") / total(at + "0.0"), 1.0, 1e-9) << at;
    if (total(at + "2") / flow > 1.0 - 1e-9) ++without_shortcut;
  }
  EXPECT_EQ(without_shortcut, 6);  // beside a shortcut passes a part of the flow
}

TEST(SynflowZoo, ThePrunedNetworkKeepsItsLimits) {
  nn::Sequential net;
  net.add(nn::Linear({.in = 2, .out = 2}));
  net.add(nn::ReLU6());
  net.add(nn::Linear({.in = 2, .out = 2}));
  for (const auto& one : net.named_parameters()) one.parameter->value.value().fill_(10.0);
  const auto answer = [&] {
    return net(Variable(Tensor::ones({1, 2}))).value().to_vector<float>();
  };
  const auto before = answer();
  EXPECT_EQ(before[0], 130.0F);  // 2 * 6 * 10 + 10
  for (const auto& [name, values] : scores_of(net, {2})) {
    for (const double score : values) EXPECT_GT(score, 0.0) << name;
  }
  EXPECT_EQ(answer(), before);
  net.parameter("0.weight").value.value().fill_(INFINITY);
  EXPECT_THROW(scores_of(net, {2}), ValueError);
  net.parameter("0.weight").value.value().fill_(10.0);
  EXPECT_EQ(answer(), before);
}

class SynflowOf : public ::testing::TestWithParam<std::string> {};

TEST_P(SynflowOf, ANetworkOfTheZooLeavesPathsToAllOutputs) {
  nn::ModelOptions options = small_options(GetParam());
  const bool conv = GetParam().starts_with("conv");
  if (options.image.height == 16 || conv) options.image = {3, 8, 8};
  if (GetParam().starts_with("vgg")) options.width = 0.125;
  const auto model = nn::make_model(GetParam(), options);
  const data::ImageShape& image = options.image;
  // All rounds of the default where limits, shortcuts and depth meet; a tenth of them elsewhere.
  const bool all = GetParam() == "mobilenetv2" || GetParam() == "resnet20";
  const char* rounds = all ? "100" : "10";
  const UpdateReport report =
      prune_before_training(*model, {image.channels, image.height, image.width}, rounds);
  EXPECT_NEAR(report.sparsity().value(), 0.9, 1e-3);
  const Flow flow = trace_flow(*model, random_input(GetParam(), options, 1)).flow();
  EXPECT_FALSE(flow.cut);
  EXPECT_TRUE(flow.lost_outputs.empty());
  const bool told = std::ranges::count(report.notes,
                                       "synflow: the flow is not conserved through GELU, layer "
                                       "norm, softmax, so that scores of different layers don't "
                                       "compare as published") == 1;
  EXPECT_EQ(told, GetParam() == "vit");
}

TEST(SynflowZoo, LeavesPathsBehindLargeStems) {
  for (const std::string& name : models_with_stems()) {
    nn::ModelOptions options = large_stem_options(name);
    options.width = 0.25;
    const auto model = nn::make_model(name, options);
    const UpdateReport report = prune_before_training(*model, {3, 32, 32}, "10");
    EXPECT_NEAR(report.sparsity().value(), 0.9, 1e-3) << name;
    const Flow flow = trace_flow(*model, random_input(name, options, 1)).flow();
    EXPECT_FALSE(flow.cut) << name;
    EXPECT_TRUE(flow.lost_outputs.empty()) << name;
  }
}

std::vector<std::string> image_models() {
  std::vector<std::string> names;
  for (const nn::ModelInfo& info : nn::model_list()) {
    if (info.input == nn::InputKind::Images) names.push_back(info.name);
  }
  return names;
}

INSTANTIATE_TEST_SUITE_P(Zoo, SynflowOf, ::testing::ValuesIn(image_models()), [](const auto& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

TEST(SynflowZoo, RefusesALimitThatItCannotLift) {
  const testing::Net::Parts parts = {
      {"a", std::make_shared<nn::Linear>(nn::Linear::Options{.in = 2, .out = 2})},
      {"b", std::make_shared<nn::Linear>(nn::Linear::Options{.in = 2, .out = 2})}};
  testing::Net net(parts, [](testing::Net& self, const Variable& x) {
    return self["b"](clamp(self["a"](x), 0.0, 6.0));
  });
  net.parameter("a.weight").value.value().fill_(1.0);
  net.parameter("a.bias").value.value().fill_(0.0);
  EXPECT_GT(scores_of(net, {2}).at("a.weight")[0], 0.0);  // 2 is below the limit
  net.parameter("a.weight").value.value().fill_(4.0);
  try {
    scores_of(net, {2});
    FAIL() << "8 is above the limit";
  } catch (const ValueError& error) {
    EXPECT_NE(std::string(error.what()).find("a clamp of the network limits 8 to 6"),
              std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace espalier::prune
