// SPDX-License-Identifier: Apache-2.0
/// Gates on units: which weights they multiply, and what a score reads of them.
#include <gtest/gtest.h>

#include <espalier/autograd/ops.h>
#include <espalier/nn/forms/hard_concrete.h>
#include <espalier/prune/scores/form_score.h>
#include <espalier/prune/sites/unit_gates.h>
#include <espalier/prune/tests/tiny.h>
#include <espalier/prune/update/mask_update.h>

namespace espalier::prune {
namespace {

using testing::tiny_conv_net;

MaskUpdate places(nn::Module& net, const std::string& pattern) {
  static const PruneSettings settings;
  static const PruneInputs inputs = {.input_shape = {3, 8, 8}};
  return {net, make_pattern(pattern), settings, inputs, {}};
}

TEST(UnitGates, ChannelsAreGatedInTheWeightsThatReadThem) {
  auto net = tiny_conv_net();
  const GateBanks banks = gate_banks(places(*net, "channel").sites());
  EXPECT_EQ(banks.sizes, (std::vector<int64_t>{8, 16}));
  ASSERT_EQ(banks.weights.size(), 2U);
  EXPECT_EQ(banks.weights[0].name, "3.weight");
  EXPECT_EQ(banks.weights[0].dim, 1);
  EXPECT_EQ(banks.weights[0].gate_of, (std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(banks.weights[1].name, "7.weight");
  ASSERT_EQ(banks.weights[1].gate_of.size(), 1024U);
  for (size_t i = 0; i < 1024; ++i) {
    EXPECT_EQ(banks.weights[1].gate_of[i], static_cast<int64_t>(i / 64));
  }
}

TEST(UnitGates, UnitsOfOneWeightAreGatedThere) {
  auto net = tiny_conv_net();
  const GateBanks single = gate_banks(places(*net, "unstructured").sites());
  EXPECT_EQ(single.sizes, (std::vector<int64_t>{8 * 27, 16 * 72, 3 * 1024}));
  for (const GatedWeight& one : single.weights) EXPECT_EQ(one.dim, -1);
  const GateBanks filters = gate_banks(places(*net, "filter").sites());
  ASSERT_EQ(filters.weights.size(), 2U);  // the last layer's rows are outputs
  EXPECT_EQ(filters.weights[0].dim, 0);
  EXPECT_EQ(filters.weights[0].gate_of, (std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6, 7}));
  EXPECT_THROW(gate_banks(places(*net, "kernel").sites()), NotImplemented);
}

/// Two layers' outputs side by side.
class Both : public nn::Module {
 public:
  Both() : left({.in = 192, .out = 2}), right({.in = 192, .out = 3}), last({.in = 5, .out = 3}) {}
  void visit(nn::MemberVisitor& v) override {
    v.module("left", left);
    v.module("right", right);
    v.module("last", last);
  }
  std::string describe() const override { return "Both"; }
  nn::Linear left, right, last;

 protected:
  Variable forward(const Variable& x) override {
    const Variable flat = reshape(x, {x.size(0), 192});
    return last(relu(concat({left(flat), right(flat)}, 1)));
  }
  std::unique_ptr<nn::Module> shallow_copy() const override {
    return std::make_unique<Both>(*this);
  }
};

TEST(UnitGates, ChannelsThatOneWeightReadsAreOneBankAndHaveTheirOwnScores) {
  Both net;
  const MaskUpdate update = places(net, "channel");
  const GateBanks banks = gate_banks(update.sites());
  EXPECT_EQ(banks.sizes, (std::vector<int64_t>{5}));
  ASSERT_EQ(banks.weights.size(), 1U);
  EXPECT_EQ(banks.weights[0].gate_of, (std::vector<int64_t>{0, 1, 2, 3, 4}));

  auto form = std::make_shared<nn::HardConcrete>(
      net.last.weight.shape(),
      nn::HardConcrete::Options{.grain = nn::HardConcrete::Grain::Inputs,
                                .gate_of = banks.weights[0].gate_of,
                                .gates = 5});
  form->log_alpha.value.value().copy_(Tensor::from<float>({5}, {1, 2, 3, 4, 5}));
  const auto forms = std::make_shared<FormsByWeight>();
  const auto score = form_score(forms, [](const nn::Form& one, const Shape& weight) {
    return dynamic_cast<const nn::HardConcrete&>(one).log_alpha_of_entries(weight);
  });
  const PruneInputs inputs;
  Rng rng(1);
  const ScoreContext context{net, update.weights(), inputs, rng};
  EXPECT_THROW(score->score_units(context, update.sites()), NotImplemented);
  (*forms)["last.weight"] = form;
  const auto units = score->score_units(context, update.sites());
  EXPECT_EQ(units, (std::vector<std::vector<double>>{{1, 2}, {3, 4, 5}}));
  const auto weights = score->compute(context);
  EXPECT_EQ(weights.back().to_vector<double>(),
            (std::vector<double>{1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 1, 2, 3, 4, 5}));
}

}  // namespace
}  // namespace espalier::prune
