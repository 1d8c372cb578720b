// SPDX-License-Identifier: Apache-2.0
/// SVD and Tucker-2: the card's numbers, PyTorch's factors and training (oracles/low_rank.py), and
/// the traps. What both do in a training: factors_property_test.cpp.
#include <cmath>

#include <gtest/gtest.h>

#include <espalier/nn/forms/kinds.h>
#include <espalier/prune/actions/low_rank.h>
#include <espalier/prune/tests/small_training.h>

namespace espalier::prune {
namespace {

using nn::LowRank;
using Split = nn::LowRank::Split;
using testing::expect_near;
using testing::kExact;
using testing::tiny_mlp;

TEST(LowRank, HasTheCardsNumbersOfParameters) {
  const Shape kernel{64, 64, 3, 3};
  EXPECT_EQ(LowRank::numbers(kernel, {.split = Split::Tucker2, .rank = 16, .inner = 16}), 4352);
  EXPECT_EQ(LowRank::numbers(kernel, {.split = Split::Spatial, .rank = 16}), 6144);
  EXPECT_EQ(LowRank::numbers(kernel, {.split = Split::Channel, .rank = 16}), 10240);
  EXPECT_EQ(LowRank::numbers({40, 30}, {.split = Split::Matrix, .rank = 5}), 5 * (40 + 30));
}

// At stride 2 the products before the kernel are at the input's resolution (32x32), the others at
// the output's (16x16).
TEST(LowRank, CountsEachProductAtItsResolution) {
  const Conv2dShape shape =
      conv2d_shape({1, 64, 32, 32}, {64, 64, 3, 3}, {.stride = 2, .padding = 1}, "test");
  const auto macs = [&](const LowRank::Options& options) {
    const LowRank form({64, 64, 3, 3}, options);
    int64_t sum = 0;
    for (const Conv2dShape& one : form.factor_products(shape)) sum += one.macs();
    return sum;
  };
  EXPECT_EQ(macs({.split = Split::Tucker2, .rank = 16, .inner = 16}),
            64 * 16 * 1024 + 16 * 16 * 9 * 256 + 16 * 64 * 256);
  EXPECT_EQ(macs({.split = Split::Spatial, .rank = 16}), 64 * 16 * 3 * 16 * 32 + 16 * 64 * 3 * 256);
  EXPECT_EQ(macs({.split = Split::Channel, .rank = 16}), 64 * 16 * 9 * 256 + 16 * 64 * 256);
}

// 1 - S of the weights is never exceeded, and one rank more would: 8*9 weights at 0.5 are 36, 17 a
// rank. Tucker-2: 8x4x3x3, of 144 numbers: ranks 4 and 2 need 8 + 72 + 32, 5 and 3 (5/8 of 4 is
// 2.5) 12 + 135 + 40.
TEST(LowRank, RanksFitIntoTheSparsity) {
  EXPECT_EQ(ranks_within({8, 9}, Split::Matrix, Sparsity(0.5))->rank, 2);
  EXPECT_FALSE(ranks_within({8, 9}, Split::Matrix, Sparsity(0.8)));
  const auto tucker = ranks_within({8, 4, 3, 3}, Split::Tucker2, Sparsity(0.5));
  EXPECT_EQ(tucker->rank, 4);
  EXPECT_EQ(tucker->inner, 2);
}

Tensor random_kernel(const Shape& shape, uint64_t seed) {
  return testing::random_matrix(1, shape.numel(), seed).reshape(shape);
}

/// What factors multiply with.
Tensor product_of(const Tensor& weight, const LowRank::Options& ranks, int64_t iterations = 3) {
  LowRank form(weight.shape(), ranks);
  form.to(DType::F64);
  form.set_factors(factors_of(weight, ranks, iterations));
  return form.effective(nn::Parameter(weight)).value.value();
}

double squared_error(const Tensor& a, const Tensor& b) {
  const auto x = a.to_vector<double>(), y = b.to_vector<double>();
  double sum = 0.0;
  for (size_t i = 0; i < x.size(); ++i) sum += (x[i] - y[i]) * (x[i] - y[i]);
  return sum;
}

const std::vector<std::pair<Shape, Split>>& every_split() {
  static const std::vector<std::pair<Shape, Split>> cases = {{{7, 5}, Split::Matrix},
                                                             {{5, 7}, Split::Matrix},
                                                             {{6, 4, 3, 2}, Split::Channel},
                                                             {{6, 1, 2, 2}, Split::Channel},
                                                             {{6, 4, 3, 2}, Split::Spatial},
                                                             {{6, 4, 3, 2}, Split::Tucker2}};
  return cases;
}

TEST(LowRank, FullRankIsTheWeight) {
  for (const auto& [shape, split] : every_split()) {
    const Tensor weight = random_kernel(shape, 1);
    expect_near(product_of(weight, LowRank::full(shape, split)), weight.to_vector<double>(), 1e-12);
  }
}

// A kernel of ranks 2 and 3 is found again, one of rank 2 by SVD.
TEST(LowRank, AKernelOfItsRanksIsRecovered) {
  const LowRank::Options ranks{.split = Split::Tucker2, .rank = 2, .inner = 3};
  LowRank made({8, 6, 3, 3}, ranks);
  made.to(DType::F64);
  std::vector<Tensor> factors;
  for (const Shape& shape : made.factor_shapes()) {
    factors.push_back(random_kernel(shape, 5 + factors.size()));
  }
  made.set_factors(factors);
  const Tensor kernel =
      made.effective(nn::Parameter(Tensor::zeros({8, 6, 3, 3}, DType::F64))).value.value();
  for (const int64_t iterations : {0, 2}) {
    expect_near(product_of(kernel, ranks, iterations), kernel.to_vector<double>(), 1e-10);
  }
  expect_near(
      product_of(kernel, {.split = Split::Channel, .rank = 2}), kernel.to_vector<double>(), 1e-10);
  // Less is not enough.
  EXPECT_GT(
      squared_error(product_of(kernel, {.split = Split::Tucker2, .rank = 2, .inner = 2}), kernel),
      0.1);
}

// diag(3, 2, 1) turned: the error of rank 1 is 4 + 1, and both factors have length sqrt(3).
TEST(LowRank, TheErrorIsTheSumOfTheSquaresThatAreLeft) {
  const Tensor matrix = Tensor::from<double>({3, 4}, {0, 0, 2, 0, 0, 3, 0, 0, 1, 0, 0, 0});
  EXPECT_NEAR(squared_error(product_of(matrix, {.rank = 1}), matrix), 5.0, 1e-12);
  EXPECT_NEAR(squared_error(product_of(matrix, {.rank = 2}), matrix), 1.0, 1e-12);
  // Trap: all of the scale on one side would need another learning rate for each.
  const std::vector<Tensor> factors = factors_of(matrix, {.rank = 2}, 0);
  expect_near(factors[0], {0, std::sqrt(3), 0, 0, 0, 0, std::sqrt(2), 0}, 1e-12);
  expect_near(factors[1], {0, std::sqrt(2), std::sqrt(3), 0, 0, 0}, 1e-12);
}

TEST(LowRank, HooiIsNeverWorseThanHosvd) {
  bool better = false;
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    const Tensor kernel = random_kernel({8, 7, 3, 3}, seed);
    const LowRank::Options ranks{.split = Split::Tucker2, .rank = 3, .inner = 2};
    double before = squared_error(product_of(kernel, ranks, 0), kernel);
    for (const int64_t iterations : {1, 2, 5}) {
      const double now = squared_error(product_of(kernel, ranks, iterations), kernel);
      EXPECT_LE(now, before + 1e-12);
      better = better || now < 0.999 * before;
      before = now;
    }
  }
  EXPECT_TRUE(better);
}

// The chain is the layer with the weight that it stands for, at any stride, padding and dilation,
// with its bias behind; folding leaves that weight.
TEST(LowRank, RunsWhatItsProductWouldRun) {
  const nn::Conv2d::Options how{.in_channels = 4,
                                .out_channels = 6,
                                .kernel = {3, 2},
                                .stride = {2, 1},
                                .padding = {1, 2},
                                .dilation = {1, 2}};
  for (const auto& [split, rank, inner] : std::vector<std::tuple<Split, int64_t, int64_t>>{
           {Split::Channel, 3, 1}, {Split::Spatial, 5, 1}, {Split::Tucker2, 3, 2}}) {
    nn::Conv2d layer(how), plain(how);
    plain.bias = layer.bias.clone();
    for (nn::Conv2d* one : {&layer, &plain}) one->to(DType::F64);
    const LowRank::Options ranks{.split = split, .rank = rank, .inner = inner};
    auto form = std::make_shared<LowRank>(layer.weight.shape(), ranks);
    form->to(DType::F64);
    form->set_factors(factors_of(layer.weight.value.value(), ranks, 2));
    layer.form = form;
    plain.weight.value.value().copy_(form->effective(layer.weight).value.value());
    const Variable x(random_kernel({2, 4, 7, 9}, 3));
    const std::vector<double> right = plain(x).value().to_vector<double>();
    expect_near(layer(x).value(), right, 1e-12);
    nn::fold_forms(layer);
    expect_near(layer(x).value(), right, 1e-12);
    EXPECT_FALSE(layer.weight.masked());
  }
}

TEST(LowRank, RefusesWhatHasNoSuchRanks) {
  EXPECT_THROW(LowRank({8, 9}, {.split = Split::Channel}), ShapeError);
  EXPECT_THROW(LowRank({8, 9, 3, 3}, {.split = Split::Matrix}), ShapeError);
  EXPECT_THROW(LowRank({8, 9}, {.rank = 9}), ValueError);
  EXPECT_THROW(LowRank({8, 9}, {.rank = 0}), ValueError);
  EXPECT_THROW(LowRank({8, 9, 3, 3}, {.split = Split::Tucker2, .rank = 2, .inner = 10}),
               ValueError);
  EXPECT_THROW(LowRank({8, 9}, {.rank = 2}).set_factors({}), ShapeError);
  auto net = tiny_mlp();
  const std::string said =
      R"({"1":{"kind":"low-rank","settings":{"split":0,"rank":100,"inner":1}}})";
  EXPECT_THROW(nn::restore_forms(*net, said), ValueError);
}

// Traps: the first convolution, 1x1 kernels and groups stay whole, and are named.
TEST(Tucker2, LeavesTheFirstConvolutionAndKernelsOfOneWeight) {
  nn::Sequential net;
  net.add(nn::Conv2d({.in_channels = 3, .out_channels = 16, .kernel = 3}));
  net.add(nn::Conv2d({.in_channels = 16, .out_channels = 16, .kernel = 1}));
  net.add(nn::Conv2d({.in_channels = 16, .out_channels = 16, .kernel = 3, .groups = 2}));
  net.add(nn::Conv2d({.in_channels = 16, .out_channels = 16, .kernel = 3}));
  const auto hook =
      make_pruner("tucker2", parse_settings(method("tucker2"), {{"sparsity", "0.5"}}), {});
  hook->attach(net);
  nn::Sgd sgd(net, {.lr = 0.1}, 0.0);
  nn::TrainState state{.model = net, .optimizer = sgd, .total_steps = 10};
  hook->before_training(state);
  EXPECT_EQ(hook->updates().at(0).notes,
            (std::vector<std::string>{"0.weight stays as it is: the first convolution",
                                      "1.weight stays as it is: a kernel of one weight",
                                      "2.weight stays as it is: it has groups"}));
  EXPECT_NE(nn::form_site(net, "3.weight").form(), nullptr);
}

// diag(3, 2, 1, 0.1) has squares 9, 4, 1, 0.01 of 14.01: 0.9 needs the first two, 0.95 three.
TEST(Svd, KeepsTheEnergyThatIsAskedFor) {
  for (const auto& [energy, rank] : std::map<std::string, int64_t>{{"0.5", 1}, {"0.9", 2}}) {
    std::vector<float> weight(64, 0.0F);
    for (size_t i = 0; const float one : {3.0F, 2.0F, 1.0F, 0.1F}) weight[9 * i++] = one;
    auto net = testing::linear_chain({{{8, 8}, weight}});
    make_pruner("svd", parse_settings(method("svd"), {{"ranks", "energy"}, {"energy", energy}}), {})
        ->attach(*net);
    const auto& form = dynamic_cast<const LowRank&>(*nn::form_site(*net, "0.weight").form());
    EXPECT_EQ(form.options().rank, rank) << energy;
  }
  // 0.9999 of eight equal ones are all: eight ranks of 16 numbers are not fewer than 64.
  std::vector<float> identity(64, 0.0F);
  for (size_t i = 0; i < 8; ++i) identity[9 * i] = 1.0F;
  auto net = testing::linear_chain({{{8, 8}, identity}});
  const auto all = make_pruner(
      "svd", parse_settings(method("svd"), {{"ranks", "energy"}, {"energy", "0.9999"}}), {});
  EXPECT_THROW(all->attach(*net), ValueError);
}

const testing::Oracle& oracle() {
  static const testing::Oracle values = {
#include <espalier/prune/tests/oracles/low_rank.inc>
  };
  return values;
}

TEST(LowRankOracle, FactorsAndAnswersArePyTorchs) {
  const Tensor kernel = Tensor::from({4, 3, 3, 2}, oracle().at("kernel"));
  for (const auto& [name, ranks] : std::map<std::string, LowRank::Options>{
           {"channel", {.split = Split::Channel, .rank = 2}},
           {"spatial", {.split = Split::Spatial, .rank = 2}},
           {"tucker2", {.split = Split::Tucker2, .rank = 2, .inner = 2}}}) {
    SCOPED_TRACE(name);
    expect_near(product_of(kernel, ranks), oracle().at(name + " weight"), kExact);
    nn::Conv2d layer({.in_channels = 3,
                      .out_channels = 4,
                      .kernel = {3, 2},
                      .stride = {2, 1},
                      .padding = {1, 0}});
    layer.to(DType::F64);
    layer.bias.value.value().copy_(Tensor::from({4}, oracle().at("bias")));
    auto form = std::make_shared<LowRank>(kernel.shape(), ranks);
    form->to(DType::F64);
    form->set_factors(factors_of(kernel, ranks, 3));
    layer.form = form;
    const Variable image(Tensor::from({1, 3, 5, 4}, oracle().at("image")));
    expect_near(layer(image).value(), oracle().at(name + " answer"), kExact);
  }
}

TEST(LowRankOracle, TheTrainingIsPyTorchs) {
  testing::SmallTraining training(oracle());
  Timeline timeline = choose_method(method("svd"), OptionTexts()).timeline();
  Pruner attaching("oracle",
                   choose_method(method("svd"), OptionTexts()).timeline(),
                   make_pattern("unstructured"),
                   {.sparsity = Sparsity(0.2)},
                   {});
  attaching.attach(training.net);
  training.sgd =
      std::make_unique<nn::Sgd>(training.net, nn::SgdOptions{.lr = 0.3, .momentum = 0.9}, 0.01);
  int compared = 0;
  const auto watch = [&](Pruner&) {
    for (const char* name : {"0.weight", "2.weight"}) {
      const auto right = oracle().find(cat("product ", training.step, " ", name));
      if (right == oracle().end()) continue;
      const nn::FormSite site = nn::form_site(training.net, name);
      expect_near(
          site.form()->effective(*site.slot.parameter).value.value(), right->second, kExact);
      ++compared;
    }
  };
  EXPECT_EQ(training.run(std::move(timeline), {}, Sparsity(0.2), watch), 2);
  EXPECT_EQ(compared, 6);
}

}  // namespace
}  // namespace espalier::prune
