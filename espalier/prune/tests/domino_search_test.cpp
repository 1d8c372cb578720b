// SPDX-License-Identifier: Apache-2.0
/// DominoSearch: the search by hand and beside NumPy (oracles/domino_search.py made the numbers).
#include <map>

#include <gtest/gtest.h>

#include <espalier/nn/train/sgd.h>
#include <espalier/prune/tests/tiny.h>

namespace espalier::prune {
namespace {

using testing::linear_chain;
using testing::mask_of;
using testing::tiny_loader;
using testing::tiny_mlp;

constexpr double kOracleTolerance = 1e-12;

const std::map<std::string, std::vector<double>>& oracle() {
  static const std::map<std::string, std::vector<double>> values = {
#include <espalier/prune/tests/oracles/domino_search.inc>
  };
  return values;
}

std::unique_ptr<Pruner> searching(const OptionTexts& given, const Shape& sample) {
  return make_pruner(
      "domino-search", parse_settings(method("domino-search"), given), {.input_shape = sample});
}

/// Kept weights of each run of `size` inputs.
std::vector<int> kept_in_groups(const nn::Parameter& weight, size_t size) {
  const std::vector<int> mask = mask_of(weight);
  std::vector<int> kept(mask.size() / size, 0);
  for (size_t i = 0; i < mask.size(); ++i) kept[i / size] += mask[i];
  return kept;
}

/// Rows of 16 inputs, of which every fourth is large.
std::vector<float> four_of_sixteen(int64_t rows) {
  std::vector<float> values;
  for (int64_t i = 0; i < rows * 16; ++i) values.push_back(i % 4 == 0 ? 1.0F : 0.001F);
  return values;
}

TEST(DominoSearch, FourLargeOfSixteenEndAtFourOfSixteen) {
  // No weight of the twelve is above the mean of the eight smallest of them, so that the counter
  // sinks to four, with every look by one, and stays there: at four not fewer than four are above.
  const auto net = linear_chain({{{4, 16}, four_of_sixteen(4)}});
  const auto pruner =
      searching({{"sparsity", "0.9"}, {"frequency", "1"}, {"sparse-decay", "0"}}, {16});
  nn::Sgd sgd(*net, nn::SgdOptions{.lr = 0.1});
  nn::TrainState state{.model = *net, .optimizer = sgd, .total_steps = 1000};
  pruner->before_training(state);
  std::vector<int64_t> kept;
  for (state.step = 0; state.step < 20; ++state.step) {
    pruner->before_step(state);
    kept.push_back(net->parameter("0.weight").nnz() / 4);
  }
  // 15, 14, .., 9 are no powers of two; eight comes with the eighth look, four with the twelfth.
  EXPECT_EQ(kept, (std::vector<int64_t>{16, 16, 16, 16, 16, 16, 16, 8, 8, 8,
                                        8,  4,  4,  4,  4,  4,  4,  4, 4, 4}));
}

TEST(DominoSearch, TellsThePatternsThatItFound) {
  // The first can do with four; of the second, whose weights are all alike, none is above.
  const auto net = linear_chain({{{16, 16}, four_of_sixteen(16)},
                                 {{3, 16}, std::vector<float>(48, 0.5F)},
                                 {{5, 3}, std::vector<float>(15, 0.5F)}});
  // 304 + 15 weights, of which 223 are to go: 192 of the first, 24 and then 36 of the second.
  const auto pruner = searching({{"sparsity", "0.7"}}, {16});
  const UpdateReport report = pruner->prune(*net, nullptr, Sparsity(0.7));
  EXPECT_EQ(report.total(), 319);
  EXPECT_GE(report.sparsity().value(), 0.7 - 0.001);
  EXPECT_TRUE(report.notes[0].starts_with("2.weight stays as it is: n:16 impossible"))
      << report.notes[0];
  // While both agree the first comes first; at four only the second still agrees.
  EXPECT_EQ(report.notes.back(),
            "found --layer-pattern 0.weight=4:16,1.weight=4:16 --exclude 2.weight");
}

TEST(DominoSearch, PatternsThatItFoundAreThoseOfOtherMethods) {
  const auto net = tiny_mlp();
  const auto pruner = searching({{"sparsity", "0.74"}, {"pattern", "n:4"}}, {3, 8, 8});
  const UpdateReport report = pruner->prune(*net, nullptr, Sparsity(0.74));
  std::string found = report.notes.back();
  OptionTexts given = {{"pattern", "2:4"}};
  if (const size_t at = found.find(" --exclude "); at != std::string::npos) {
    given["exclude"] = found.substr(at + std::string(" --exclude ").size());
    found = found.substr(0, at);
  }
  given["layer-pattern"] = found.substr(std::string("found --layer-pattern ").size());
  const auto other = tiny_mlp();
  make_pruner("magnitude", parse_settings(method("magnitude"), given), {.input_shape = {3, 8, 8}})
      ->prune(*other, nullptr, Sparsity(0.5));
  for (const char* name : {"1.weight", "3.weight", "5.weight"}) {
    EXPECT_EQ(mask_of(net->parameter(name)), mask_of(other->parameter(name))) << name;
  }
}

TEST(DominoSearch, IsNumPys) {
  const auto& values = oracle();
  const auto net = linear_chain(
      {{{32, 16}, std::vector<float>(512, 0.0F)}, {{8, 32}, std::vector<float>(256, 0.0F)}});
  net->to(DType::F64);
  for (int layer = 0; layer < 2; ++layer) {
    nn::Parameter& weight = net->parameter(cat(layer, ".weight"));
    weight.value.value().copy_(
        Tensor::from<double>(weight.shape(), values.at(cat("weight ", layer))));
  }
  const auto pruner = searching({{"sparsity", "0.8"},
                                 {"frequency", "1"},
                                 {"penalty-every", "1"},
                                 {"sparse-decay", "0.1"},
                                 {"prune-at", "1"}},
                                {16});
  nn::Sgd sgd(*net, nn::SgdOptions{.lr = 1.0});
  nn::TrainState state{.model = *net, .optimizer = sgd, .total_steps = 1000};
  pruner->before_training(state);
  for (state.step = 0; values.contains(cat("look ", state.step)); ++state.step) {
    pruner->before_step(state);
    const std::vector<double>& look = values.at(cat("look ", state.step));
    const std::vector<double>& factors = values.at(cat("factors ", state.step));
    const bool done = look[2] == 2 && look[3] == 4;
    for (int layer = 0; layer < 2; ++layer) {
      nn::Parameter& weight = net->parameter(cat(layer, ".weight"));
      const auto n = static_cast<int>(look[static_cast<size_t>(2 + layer)]);
      for (const int kept : kept_in_groups(weight, 16)) {
        ASSERT_EQ(kept, n) << "step " << state.step << " layer " << layer;
      }
      weight.value.set_grad(Variable(Tensor::zeros_like(weight.value.value())));
    }
    pruner->after_backward(state);
    for (int layer = 0; layer < 2; ++layer) {
      nn::Parameter& weight = net->parameter(cat(layer, ".weight"));
      const std::vector<double> gradient = weight.value.grad().value().to_vector<double>();
      std::vector<double> w = weight.value.value().to_vector<double>();
      const double factor = done ? 0.0 : factors[static_cast<size_t>(layer)];
      for (size_t i = 0; i < w.size(); ++i) {
        ASSERT_NEAR(gradient[i], 0.1 * factor * w[i], kOracleTolerance) << state.step;
        w[i] -= gradient[i];
      }
      weight.value.value().copy_(Tensor::from<double>(weight.shape(), w));
    }
  }
  EXPECT_EQ(state.step, 21);
  EXPECT_EQ(kept_in_groups(net->parameter("0.weight"), 16).front(), 2);
}

TEST(DominoSearch, NeverGoesUpAndMeetsTheBudgetAtTheEndOfTheSearch) {
  for (const char* sparsity : {"0.3", "0.6", "0.74"}) {
    const auto net = tiny_mlp();
    const auto pruner =
        searching({{"sparsity", sparsity}, {"pattern", "n:4"}, {"frequency", "2"}}, {3, 8, 8});
    nn::Sgd sgd(*net, nn::SgdOptions{.lr = 0.02, .momentum = 0.9});
    class Watch : public nn::TrainHook {
     public:
      void after_step(nn::TrainState& state) override {
        int64_t now = 0;
        for (const nn::NamedParameter& one : state.model.named_parameters()) {
          now += one.parameter->nnz();
        }
        EXPECT_LE(now, last);
        last = now;
      }
      int64_t last = 1'000'000;
    } watch;
    auto loader = tiny_loader();
    nn::fit(*net, sgd, nn::ConstantLr(0.02), *loader, {pruner.get(), &watch}, {.epochs = 3});
    const UpdateReport& report = pruner->updates().back();
    EXPECT_GE(report.sparsity().value(), std::stod(sparsity) - 0.001);
    // Every layer has one N, a power of two.
    for (const char* name : {"1.weight", "3.weight", "5.weight"}) {
      const std::vector<int> kept = kept_in_groups(net->parameter(name), 4);
      for (const int one : kept) EXPECT_EQ(one, kept.front()) << name;
      EXPECT_TRUE(kept.front() == 1 || kept.front() == 2 || kept.front() == 4) << name;
    }
  }
}

TEST(DominoSearch, RefusesWhatItCannotReach) {
  const auto net = tiny_mlp();  // only the first layer has groups of 16: 4608 of 4932 weights
  const auto pruner = searching({{"sparsity", "0.9"}}, {3, 8, 8});
  EXPECT_THROW(pruner->prune(*net, nullptr, Sparsity(0.9)), ValueError);
  EXPECT_THROW(parse_settings(method("magnitude"), {{"pattern", "n:16"}}), ValueError);
  EXPECT_THROW(parse_settings(method("domino-search"), {{"pattern", "n:12"}}), ValueError);
}

}  // namespace
}  // namespace espalier::prune
