// SPDX-License-Identifier: Apache-2.0
/// FPGM and soft filter pruning: the cards' exact examples, and what filters do between choices.
#include <cmath>
#include <set>

#include <gtest/gtest.h>

#include <espalier/nn/train/sgd.h>
#include <espalier/prune/allocations/allocation.h>
#include <espalier/prune/tests/tiny.h>

namespace espalier::prune {
namespace {

using testing::mask_of;
using testing::tiny_conv_net;
using testing::tiny_loader;

constexpr double kHandTolerance = 5e-4;  // of numbers with three decimals

std::unique_ptr<nn::Sequential> five_filters(float shift_x = 0, float shift_y = 0) {
  std::vector<float> filters = {10, 0, 10, 2, 10, -2, 12, 0, 0, 0.5F};
  for (size_t i = 0; i < filters.size(); ++i) filters[i] += i % 2 == 0 ? shift_x : shift_y;
  auto net = std::make_unique<nn::Sequential>();
  net->add(nn::Flatten());
  auto& first = net->add(nn::Linear({.in = 2, .out = 5}));
  net->add(nn::ReLU());
  net->add(nn::Linear({.in = 5, .out = 2}));
  first.weight.value.value().copy_(Tensor::from<float>({5, 2}, filters));
  return net;
}

std::vector<double> filter_scores(const std::string& name,
                                  nn::Module& net,
                                  const std::map<std::string, std::string>& given = {}) {
  const auto all =
      raw_scores(name, net, parse_settings(method(name), given), {.input_shape = {2, 1, 1}});
  const auto entries = all.at("1.weight").to_vector<double>();
  std::vector<double> filters;
  for (size_t i = 0; i < entries.size(); i += 2) {
    EXPECT_EQ(entries[i], entries[i + 1]);
    filters.push_back(entries[i]);
  }
  return filters;
}

TEST(Fpgm, SumsDistancesToTheOtherFilters) {
  const std::vector<double> g = {16.012, 18.940, 19.136, 19.667, 42.443};
  const auto scores = filter_scores("fpgm", *five_filters());
  for (size_t f = 0; f < g.size(); ++f) EXPECT_NEAR(scores[f], g[f], kHandTolerance) << f;
  const auto norms = filter_scores("sfp", *five_filters());
  EXPECT_NEAR(norms[1], std::sqrt(104.0), 1e-6);
  // The norm removes another filter than the distances do.
  EXPECT_EQ(std::min_element(scores.begin(), scores.end()) - scores.begin(), 0);
  EXPECT_EQ(std::min_element(norms.begin(), norms.end()) - norms.begin(), 4);
}

TEST(Fpgm, DoesNotChangeWhenOneVectorIsAddedToAllFilters) {
  const auto scores = filter_scores("fpgm", *five_filters());
  const auto shifted = filter_scores("fpgm", *five_filters(3, -8));
  for (size_t f = 0; f < scores.size(); ++f) EXPECT_NEAR(shifted[f], scores[f], 1e-4);
  EXPECT_GT(std::abs(filter_scores("sfp", *five_filters(3, -8))[4] - 0.5), 1.0);
}

TEST(Fpgm, MixTakesDistancesAmongTheFiltersThatTheNormKeeps) {
  // The norm takes (0, 0.5); without it (10, 0) is 2 + 2 + 2 from the others.
  const auto scores = filter_scores("fpgm", *five_filters(), {{"norm-sparsity", "0.2"}});
  EXPECT_NEAR(scores[0], 6.0, 1e-9);
  EXPECT_NEAR(scores[1], 2 + 4 + std::sqrt(8.0), 1e-9);
  EXPECT_NEAR(scores[2], 2 + 4 + std::sqrt(8.0), 1e-9);
  EXPECT_NEAR(scores[3], 2 + 2 * std::sqrt(8.0), 1e-9);
  EXPECT_EQ(scores[4], -1.0);
  EXPECT_THROW(
      make_pruner("fpgm",
                  parse_settings(method("fpgm"), {{"norm-sparsity", "0.5"}, {"sparsity", "0.4"}})),
      ValueError);
}

TEST(SoftFilter, RoundsTheNumberOfFiltersDown) {
  // 16 * (1 - 0.7) is 4.8: four filters, kept rate 0.7 in the words of the published code.
  const std::vector<SiteScores> layers = {{"a", {}, 16, {}, {}, {}}, {"b", {}, 10, {}, {}, {}}};
  EXPECT_EQ(uniform_floor_allocation()->keep(layers, Sparsity(0.3)), (std::vector<int64_t>{12, 7}));
}

/// Which of the eight filters of layer 0 are zero.
std::set<int64_t> zero_filters(nn::Module& net) {
  const auto values = net.parameter("0.weight").value.value().to_vector<float>();
  std::set<int64_t> zero;
  for (int64_t f = 0; f < 8; ++f) {
    const auto begin = values.begin() + f * 27;
    if (std::all_of(begin, begin + 27, [](float w) { return w == 0.0F; })) zero.insert(f);
  }
  return zero;
}

/// What the network looks like after every step and choice.
class Filters : public nn::TrainHook {
 public:
  void before_training(nn::TrainState& s) override { chosen.push_back(zero_filters(s.model)); }
  void after_step(nn::TrainState& s) override {
    stepped.push_back(zero_filters(s.model));
    masked = masked || (s.step < s.total_steps && s.model.parameter("1.weight").masked());
  }
  void end_of_epoch(nn::TrainState& s) override { chosen.push_back(zero_filters(s.model)); }
  std::vector<std::set<int64_t>> chosen;
  std::vector<std::set<int64_t>> stepped;
  bool masked = false;  // batch norm, before the last choice
};

Filters trained(const std::string& name, nn::Module& net) {
  auto hook = make_pruner(
      name, parse_settings(method(name), {{"sparsity", "0.3"}}), {.input_shape = {3, 8, 8}});
  Filters filters;
  nn::Sgd sgd(net, {.lr = 0.05, .momentum = 0.9}, 1e-4);
  auto loader = tiny_loader();
  // Shifts above zero, so that zero filters get a gradient through the ReLU.
  net.parameter("1.bias").value.value().fill_(0.5);
  nn::fit(net, sgd, nn::ConstantLr(0.05), *loader, {hook.get(), &filters}, {.epochs = 4});
  EXPECT_EQ(hook->updates().size(), 5U);
  return filters;
}

TEST(SoftFilter, ZeroFiltersTrainOnAndOnlyTheLastChoiceIsFinal) {
  auto net = tiny_conv_net();
  const Filters filters = trained("sfp", *net);
  for (const auto& zero : filters.chosen) EXPECT_EQ(zero.size(), 2U);  // floor(8 * 0.3)
  // One step after a choice a filter is there again: hard pruning would fail here.
  for (size_t epoch = 0; epoch < 4; ++epoch) EXPECT_TRUE(filters.stepped[4 * epoch].empty());
  EXPECT_FALSE(filters.masked);
  EXPECT_EQ(net->parameter("4.weight").nnz(), 12);  // 16 - floor(16 * 0.3)
  const std::set<int64_t> last = filters.chosen.back();
  for (int64_t f = 0; f < 8; ++f) {
    const int kept = last.contains(f) ? 0 : 1;
    EXPECT_EQ(mask_of(net->parameter("1.weight"))[static_cast<size_t>(f)], kept);
    EXPECT_EQ(mask_of(net->parameter("1.bias"))[static_cast<size_t>(f)], kept);
    EXPECT_EQ(mask_of(net->parameter("3.weight"))[static_cast<size_t>(f * 9)], kept);
  }
}

TEST(Fpgm, ChosenFiltersRestUntilTheNextChoice) {
  auto net = tiny_conv_net();
  // Far from zero: a filter at zero is then far from the median, so that others take its place.
  Tensor& first = net->parameter("0.weight").value.value();
  for (int64_t i = 0; i < first.numel(); ++i) first.data<float>()[i] += 1.0F;
  const Filters filters = trained("fpgm", *net);
  std::set<std::set<int64_t>> different;
  for (size_t epoch = 0; epoch < 4; ++epoch) {
    EXPECT_EQ(filters.stepped[4 * epoch].size(), 2U);
    for (size_t step = 1; step < 4; ++step) {
      EXPECT_EQ(filters.stepped[4 * epoch + step], filters.stepped[4 * epoch]);
    }
    different.insert(filters.stepped[4 * epoch]);
  }
  EXPECT_FALSE(filters.masked);
  EXPECT_EQ(zero_filters(*net), filters.stepped.back());
  EXPECT_GT(different.size(), 1U);
}

TEST(SoftFilter, ChoosesAfterTheFirstEpochAndThenEveryNth) {
  // As published: epochs count from 0, and those that `every` divides end with a choice.
  auto net = tiny_conv_net();
  auto hook = make_pruner("sfp",
                          parse_settings(method("sfp"), {{"sparsity", "0.3"}, {"every", "2"}}),
                          {.input_shape = {3, 8, 8}});
  nn::Sgd sgd(*net, {.lr = 0.05});
  auto loader = tiny_loader();
  nn::fit(*net, sgd, nn::ConstantLr(0.05), *loader, {hook.get()}, {.epochs = 6});
  std::vector<int64_t> steps;
  for (const UpdateReport& update : hook->updates()) steps.push_back(update.step);
  EXPECT_EQ(steps, (std::vector<int64_t>{0, 4, 12, 20, 24}));  // four steps an epoch
}

TEST(SoftFilter, StartsFromADenseNetwork) {
  auto net = tiny_conv_net();
  Tensor mask = Tensor::ones({8, 3, 3, 3}, DType::U8);
  mask.data<uint8_t>()[5] = 0;
  net->parameter("0.weight").set_mask(mask);
  EXPECT_THROW(trained("sfp", *net), ValueError);
  EXPECT_EQ(net->parameter("0.weight").nnz(), 8 * 27 - 1);
}

}  // namespace
}  // namespace espalier::prune
