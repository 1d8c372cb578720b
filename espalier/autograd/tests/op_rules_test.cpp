// SPDX-License-Identifier: Apache-2.0
// What every op tells of itself beside its numbers, against what it does: its rule, its attributes,
// and where its elements come from.
#include <algorithm>
#include <set>

#include <gtest/gtest.h>

#include <espalier/autograd/observer.h>
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>

namespace espalier {
namespace {

struct Seen {
  std::string name;
  OpAttributes attributes;
  Variable output;
  std::vector<Variable> inputs;
};

class Recorder : public OpObserver {
 public:
  void op(const ObservedOp& op) override {
    ops.push_back({op.name, op.attributes, op.output, op.inputs});
  }
  std::vector<Seen> ops;
};

/// The ops that run when a sample does.
std::vector<Seen> run(const OpSample& sample, DType dtype = DType::F64) {
  std::vector<Variable> inputs;
  for (const Tensor& input : sample.inputs) inputs.emplace_back(input.to(dtype));
  Recorder recorder;
  const OpObserverScope scope(&recorder);
  sample.run(inputs);
  return recorder.ops;
}

/// `name` as it ran in the samples of `op`.
std::vector<Seen> own_ops(const OpInfo& op) {
  std::vector<Seen> own;
  for (const OpSample& sample : op.samples) {
    for (const DType dtype : {DType::F64, DType::F32}) {
      for (Seen& one : run(sample, dtype)) {
        if (one.name == op.name) own.push_back(std::move(one));
      }
    }
  }
  return own;
}

TEST(OpRules, EveryOpOfTheListSaysItsRule) {
  for (const OpInfo& op : op_list()) EXPECT_NE(op.rule, OpRule::Unsaid) << op.name;
}

TEST(OpRules, AnOpIsComposedIfOtherOpsRunInItsPlace) {
  for (const OpInfo& op : op_list()) {
    size_t ran = 0;  // none in samples that come out as they went in
    for (const OpSample& sample : op.samples) ran += run(sample, DType::F64).size();
    EXPECT_EQ(ran > 0 && own_ops(op).empty(), op.rule == OpRule::Composed) << op.name;
  }
}

TEST(OpRules, AnOpTellsTheAttributesThatItLists) {
  for (const OpInfo& op : op_list()) {
    std::set<std::string> told;
    for (const Seen& one : own_ops(op)) {
      for (const auto& [name, value] : one.attributes.all()) told.insert(name);
    }
    EXPECT_EQ(told, std::set<std::string>(op.attributes.begin(), op.attributes.end())) << op.name;
  }
}

TEST(OpRules, MovementsSayWhereEachElementComesFrom) {
  for (const OpInfo& op : op_list()) {
    EXPECT_EQ(op.rule == OpRule::Movement, bool(op.movement) && op.rule != OpRule::Pool) << op.name;
    if (!op.movement) continue;
    for (const Seen& one : own_ops(op)) {
      if (op.rule == OpRule::Pool && one.attributes.pair("kernel") != Pair(1)) continue;
      std::vector<Shape> shapes;
      std::vector<std::vector<double>> values;
      for (const Variable& input : one.inputs) {
        shapes.push_back(input.shape());
        values.push_back(input.value().to_vector<double>());
      }
      const auto sources = op.movement(one.attributes, shapes, one.output.shape());
      const auto output = one.output.value().to_vector<double>();
      ASSERT_EQ(sources.size(), output.size()) << op.name;
      const double constant =
          one.attributes.contains("value") ? one.attributes.number("value") : 0.0;
      for (size_t i = 0; i < output.size(); ++i) {
        const double expected =
            sources[i].input < 0
                ? constant
                : values[size_t(sources[i].input)].at(static_cast<size_t>(sources[i].element));
        EXPECT_EQ(output[i], expected) << op.name << ", element " << i;
      }
    }
  }
}

/// Zeros in the shapes of a sample's inputs; of input `other` ones.
double value_at_zero(const OpSample& sample, size_t other) {
  std::vector<Variable> inputs;
  for (size_t i = 0; i < sample.inputs.size(); ++i) {
    inputs.emplace_back(Tensor::full(sample.inputs[i].shape(), i == other ? 1.0 : 0.0, DType::F64));
  }
  const std::vector<double> values = sample.run(inputs).value().to_vector<double>();
  EXPECT_TRUE(std::ranges::all_of(values, [&](double v) { return v == values[0]; }));
  return values.empty() ? 0.0 : values[0];
}

TEST(OpRules, ZerosBecomeZeroWhereTheRuleSaysSo) {
  constexpr size_t kNone = 99;
  for (const OpInfo& op : op_list()) {
    for (const OpSample& sample : op.samples) {
      const std::string what = op.name + ", " + sample.name;
      switch (op.rule) {
        case OpRule::ZeroToZero:
        case OpRule::Sum:
        case OpRule::Pool:
        case OpRule::Reduction:
          EXPECT_EQ(value_at_zero(sample, kNone), 0.0) << what;
          break;
        case OpRule::Product:
          EXPECT_EQ(value_at_zero(sample, 0), 0.0) << what;
          EXPECT_EQ(value_at_zero(sample, 1), 0.0) << what;
          break;
        case OpRule::Quotient:
          if (sample.inputs.size() > 1) {
            EXPECT_EQ(value_at_zero(sample, 1), 0.0) << what;
          }
          break;
        case OpRule::Clamp: {
          const Seen clamp = run(sample).front();
          const bool inside =
              clamp.attributes.number("low") <= 0.0 && clamp.attributes.number("high") >= 0.0;
          if (clamp.output.numel() > 0) {
            EXPECT_EQ(value_at_zero(sample, kNone) == 0.0, inside) << what;
          }
          break;
        }
        default:
          break;
      }
    }
  }
}

TEST(OpRules, ReductionsGoWhereTheirDimensionsSay) {
  // (2,3) over its rows: elements 0..2 and 3..5 meet in 0..2; over its columns: in 0 and 1.
  EXPECT_EQ(reduced_index({2, 3}, {0}), (std::vector<int64_t>{0, 1, 2, 0, 1, 2}));
  EXPECT_EQ(reduced_index({2, 3}, {1}), (std::vector<int64_t>{0, 0, 0, 1, 1, 1}));
  EXPECT_EQ(reduced_index({2, 2}, {0, 1}), (std::vector<int64_t>{0, 0, 0, 0}));
}

TEST(OpRules, AttributesAreFoundByNameAndKind) {
  const OpAttributes of{{"dim", int64_t{1}}, {"stride", OpAttributes::list(Pair(2, 3))}};
  EXPECT_EQ(of.integer("dim"), 1);
  EXPECT_EQ(of.pair("stride"), Pair(2, 3));
  EXPECT_THROW(of.number("dim"), ValueError);
  EXPECT_THROW(of.integer("groups"), ValueError);
}

}  // namespace
}  // namespace espalier
