// SPDX-License-Identifier: Apache-2.0
#include <limits>
#include <type_traits>

#include <gtest/gtest.h>

#include <espalier/nn/train/sgd.h>
#include <espalier/prune/tests/tiny.h>

namespace espalier::prune {
namespace {

static_assert(!std::is_convertible_v<double, Sparsity>);
static_assert(!std::is_convertible_v<Sparsity, Density>);
static_assert(!std::is_convertible_v<Density, Sparsity>);
static_assert(!std::is_convertible_v<Sparsity, double>);

TEST(Sparsity, IsTheComplementOfDensity) {
  EXPECT_DOUBLE_EQ(Sparsity(0.75).density().value(), 0.25);
  EXPECT_DOUBLE_EQ(Density(0.75).sparsity().value(), 0.25);
}

TEST(Sparsity, AcceptsBothEnds) {
  EXPECT_EQ(Sparsity(0.0).density(), Density(1.0));
  EXPECT_EQ(Sparsity(1.0).density(), Density(0.0));
}

TEST(Sparsity, RefusesPercentNegativeAndNan) {
  EXPECT_THROW(Sparsity(90.0), ValueError);
  EXPECT_THROW(Sparsity(-0.1), ValueError);
  EXPECT_THROW(Sparsity(std::numeric_limits<double>::quiet_NaN()), ValueError);
  EXPECT_THROW(Density(1.5), ValueError);
}

using Given = std::map<std::string, std::string>;

/// What the reports of all updates tell of missed targets, in a training of ten steps.
std::vector<std::vector<std::string>> notes_of(const std::string& name,
                                               const Given& given,
                                               nn::Module& net) {
  const Shape first = net.named_parameters().front().parameter->shape();
  const Shape sample = first.rank() == 2 ? Shape{first[1]} : Shape{3, 8, 8};
  const auto pruner =
      make_pruner(name, parse_settings(method(name), given), {.input_shape = sample});
  nn::Sgd sgd(net, {});
  nn::TrainState state{.model = net, .optimizer = sgd, .total_steps = 10, .steps_per_epoch = 10};
  pruner->before_training(state);
  for (; state.step < state.total_steps; ++state.step) pruner->before_step(state);
  std::vector<std::vector<std::string>> notes;
  for (const UpdateReport& report : pruner->updates()) {
    notes.emplace_back();
    for (const std::string& note : report.notes) {
      if (note.starts_with("asked for sparsity")) notes.back().push_back(note);
    }
  }
  return notes;
}

using Notes = std::vector<std::vector<std::string>>;
const Notes kNothingToTell = {{}};

TEST(SparsityReached, IsToldWhereItIsNotTheOneThatWasAskedFor) {
  const auto four = [] { return testing::linear_chain({{{1, 4}, {-2, -1, 1, 2}}}); };
  EXPECT_EQ(notes_of("magnitude", {{"sparsity", "0.5"}}, *four()), kNothingToTell);
  // The deviation is 1.5811, and no weight lies below 0.6 of it; two do below 0.7.
  const Given std_06 = {{"allocation", "std"}, {"quality", "0.6"}};
  EXPECT_EQ(notes_of("magnitude", std_06, *four()),
            (Notes{{"asked for sparsity 0.9000, reached 0.0000"}}));
  const Given std_07 = {{"sparsity", "0.5"}, {"allocation", "std"}, {"quality", "0.7"}};
  EXPECT_EQ(notes_of("magnitude", std_07, *four()), kNothingToTell);
  EXPECT_EQ(notes_of("magnitude", {{"sparsity", "0.5"}, {"min-per-layer", "3"}}, *four()),
            (Notes{{"asked for sparsity 0.5000, reached 0.2500"}}));
  // Of a network that is sparser already.
  auto sparse = four();
  sparse->parameter("0.weight").set_mask(Tensor::from<uint8_t>({1, 4}, {0, 0, 0, 1}));
  EXPECT_EQ(notes_of("magnitude", {{"sparsity", "0.25"}}, *sparse),
            (Notes{{"asked for sparsity 0.2500, reached 0.7500"}}));
}

TEST(SparsityReached, IsThatOfTheLastUpdate) {
  // Half is gone already, and comes back by no update.
  auto net = testing::linear_chain({{{1, 4}, {-2, -1, 1, 2}}});
  net->named_parameters()[0].parameter->set_mask(Tensor::from<uint8_t>({1, 4}, {1, 0, 0, 1}));
  EXPECT_EQ(notes_of("magnitude", {{"rounds", "2"}, {"sparsity", "0.25"}}, *net),
            (Notes{{}, {"asked for sparsity 0.2500, reached 0.5000"}}));
}

TEST(SparsityReached, CountsWhatTheMethodCounts) {
  // 8 and 16 channels: half of each are 12 of 24, and other parts of the weights.
  for (const char* name : {"l1-filters", "network-slimming", "ssl", "magnitude"}) {
    Given given = {{"sparsity", "0.5"}, {"pattern", "channel"}};
    if (name == std::string("magnitude")) given["allocation"] = "uniform";
    if (method(name).when == When::During) given["prune-at"] = "0";
    EXPECT_EQ(notes_of(name, given, *testing::tiny_conv_net()), kNothingToTell) << name;
  }
  // No channel's norm is zero.
  const Given zeros = {{"sparsity", "0.6"}, {"select", "zeros"}, {"prune-at", "0"}};
  EXPECT_EQ(notes_of("ssl", zeros, *testing::tiny_conv_net()),
            (Notes{{"asked for sparsity 0.6000 of the channels, reached 0.0000"}}));
  // Layers with sparsities of their own, and patterns with one fixed share, ask for no common one.
  const Given by_layer = {{"sparsity", "0.9"}, {"layer-sparsity", "0=0.5,3=0.25"}};
  EXPECT_EQ(notes_of("l1-filters", by_layer, *testing::tiny_conv_net()), kNothingToTell);
  // The second layer has too few inputs for 2:4, and stays dense.
  auto odd = testing::linear_chain({{{1, 4}, {1, 2, 3, 4}}, {{1, 1}, {1}}});
  EXPECT_EQ(notes_of("magnitude", {{"pattern", "2:4"}}, *odd), kNothingToTell);
}

}  // namespace
}  // namespace espalier::prune
