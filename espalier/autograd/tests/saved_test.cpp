// SPDX-License-Identifier: Apache-2.0
// A value that was changed in place after an op saved it: the backward pass names the op instead of
// giving the gradient of another function, and nothing that is no such change is taken for one.
#include <algorithm>
#include <string>

#include <gtest/gtest.h>

#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/saved.h>

namespace espalier {
namespace {

using Values = std::vector<double>;

Variable leaf(const Values& values) {
  return Variable(Tensor::from({static_cast<int64_t>(values.size())}, values), true);
}
Values of(const Variable& v) {
  return v.value().to_vector<double>();
}

// What the backward pass says; empty when it gave gradients.
template <class F>
std::string said(F backward) {
  try {
    backward();
    return {};
  } catch (const Error& error) {
    return error.what();
  }
}

bool names_a_change(const std::string& text) {
  return text.find("backward of `") != std::string::npos &&
         text.find("changed in place") != std::string::npos;
}

void spoil(const Tensor& tensor) {
  Tensor handle = tensor;
  double* x = handle.data<double>();
  for (int64_t i = 0; i < handle.physical_numel(); ++i) x[i] += 0.375;
}

std::vector<Variable> leaves_of(const OpSample& sample) {
  std::vector<Variable> leaves;
  for (const Tensor& input : sample.inputs) leaves.emplace_back(input.clone(), true);
  return leaves;
}

std::vector<Tensor> gradients_of(const Variable& output,
                                 const std::vector<Variable>& leaves,
                                 bool twice) {
  std::vector<Variable> first = grad({sum(output)}, leaves, {twice, true, true, {}});
  if (twice) {
    Variable total(Tensor::scalar(0.0, DType::F64));
    for (const Variable& g : first) {
      if (g.defined()) total = total + sum(g * g);
    }
    if (!total.requires_grad()) return {};
    first = grad({total}, leaves, {.retain_graph = true, .allow_unused = true});
  }
  std::vector<Tensor> result;
  for (const Variable& g : first) result.push_back(g.defined() ? g.value() : Tensor());
  return result;
}

bool same_bits(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i].defined() != b[i].defined()) return false;
    if (a[i].defined() && a[i].to_vector<double>() != b[i].to_vector<double>()) return false;
  }
  return a.size() == b.size();
}

// Every op: after any of its inputs or its output changed, an error or the right gradient.
void check_every_op(bool twice) {
  int found = 0;
  for (const OpInfo& op : op_list()) {
    for (const OpSample& sample : op.samples) {
      const std::vector<Variable> undisturbed = leaves_of(sample);
      const std::vector<Tensor> expected =
          gradients_of(sample.run(undisturbed), undisturbed, twice);
      for (size_t changed = 0; changed <= sample.inputs.size(); ++changed) {
        const std::vector<Variable> leaves = leaves_of(sample);
        const Variable output = sample.run(leaves);
        // A view of an input is that input.
        const Tensor& target = changed < leaves.size() ? leaves[changed].value() : output.value();
        if (target.numel() == 0 || !target.is_contiguous()) continue;
        spoil(target);
        std::vector<Tensor> gradients;
        const std::string text = said([&] { gradients = gradients_of(output, leaves, twice); });
        if (names_a_change(text)) {
          ++found;
        } else {
          EXPECT_EQ(text, "") << op.name << '/' << sample.name;
          EXPECT_TRUE(same_bits(gradients, expected))
              << op.name << '/' << sample.name << ", changed " << changed;
        }
      }
    }
  }
  EXPECT_GT(found, 100);
}

TEST(Saved, EveryOpNamesAChangeOrGivesTheRightGradient) {
  check_every_op(false);
}

TEST(Saved, EveryOpNamesAChangeBeforeTheSecondDerivative) {
  check_every_op(true);
}

TEST(Saved, AChangeBetweenTheFirstAndTheSecondDerivativeIsNamed) {
  const Variable x = leaf({1, 2, 3});
  const Variable slope = grad({sum(x * x * x)}, {x}, {.create_graph = true})[0];
  spoil(x.value());
  const std::string text = said([&] { grad({sum(slope)}, {x}); });
  EXPECT_TRUE(names_a_change(text)) << text;
}

TEST(Saved, TheErrorNamesTheOpTheTensorAndWhatToDo) {
  const Variable a = leaf({1, 2});
  Variable b = leaf({3, 4});
  const Variable y = sum(a * b);
  b.value().fill_(0.0);
  const std::string text = said([&] { y.backward(); });
  EXPECT_NE(text.find("`mul`"), std::string::npos) << text;
  EXPECT_NE(text.find("float64 (2)"), std::string::npos) << text;
  EXPECT_NE(text.find("forward pass again"), std::string::npos) << text;
}

TEST(Saved, AChangedOutputIsNamed) {
  const Variable x = leaf({1, 2});
  Variable y = sigmoid(x);
  const Variable loss = sum(y);
  y.value().fill_(0.5);
  EXPECT_NE(said([&] { loss.backward(); }).find("`sigmoid`"), std::string::npos);
}

TEST(Saved, AReplacedValueIsNamed) {
  const Variable a = leaf({1, 2});
  Variable b = leaf({3, 4});
  const Variable y = sum(a * b);
  b.set_value(Tensor::from<double>({2}, {5, 6}));
  EXPECT_TRUE(names_a_change(said([&] { y.backward(); })));
}

TEST(Saved, ChangedIndicesConditionsAndLabelsAreNamed) {
  const Variable x(Tensor::from<double>({2, 2}, {1, 2, 3, 4}), true);
  Tensor index = Tensor::from<int64_t>({2, 1}, {0, 1});
  const Variable picked = sum(gather(x, 1, index));
  Tensor rows = Tensor::from<int64_t>({2}, {0, 1});
  const Variable selected = sum(index_select(x, 0, rows));
  Tensor condition = Tensor::from<uint8_t>({2, 2}, {1, 0, 1, 0});
  const Variable chosen = sum(where(condition, x, x * 2.0));
  Tensor labels = Tensor::from<int64_t>({2}, {0, 1});
  const Variable loss = cross_entropy(x, labels);
  const Variable nll = nll_loss(log_softmax(x, 1), labels);
  index.fill_(0.0);
  rows.fill_(0.0);
  condition.fill_(1.0);
  labels.fill_(0.0);
  for (const Variable& y : {picked, selected, chosen, loss, nll}) {
    EXPECT_TRUE(names_a_change(said([&] { y.backward(); })));
  }
}

TEST(Saved, AChangeThroughAViewIsNamed) {
  const Variable a = leaf({1, 2, 3, 4});
  const Variable b = leaf({1, 1, 1, 1});
  const Variable y = sum(a * b);
  Tensor part = a.value().slice(0, 1, 2);
  part.fill_(9.0);
  EXPECT_TRUE(names_a_change(said([&] { y.backward(); })));
}

TEST(Saved, AnotherPartOfTheSameMemoryMayChange) {
  Tensor memory = Tensor::from<double>({2, 2}, {1, 2, 3, 4});
  const Variable a(memory.slice(0, 0, 1), true);
  const Variable y = sum(a * a);
  Tensor other = memory.slice(0, 1, 2);
  other.fill_(0.0);
  y.backward();
  EXPECT_EQ(of(a.grad()), (Values{2, 4}));
}

TEST(Saved, ReadingThroughAPointerForWritingIsNoChange) {
  Variable x = leaf({1, 2, 3});
  Variable y = exp(x);
  const Variable loss = sum(y * y);
  double total = 0.0;
  for (int64_t i = 0; i < 3; ++i) total += x.value().data<double>()[i];
  EXPECT_EQ(total, 6.0);
  y.value().data<double>();
  loss.backward();
  EXPECT_TRUE(x.grad().defined());
}

TEST(Saved, WhatIsOnlyUsedByShapeMayChange) {
  Variable a = leaf({1, 2});
  Variable b = leaf({3, 4});
  const Variable y = sum(a + b);
  a.value().fill_(0.0);
  b.value().fill_(0.0);
  y.backward();
  EXPECT_EQ(of(a.grad()), (Values{1, 1}));
}

TEST(Saved, AfterTheBackwardPassValuesMayChange) {
  Variable w = leaf({1, 2});
  for (int step = 0; step < 3; ++step) {
    w.zero_grad();
    const Variable loss = sum(w * w);
    loss.backward();
    double* values = w.value().data<double>();
    const Values gradient = of(w.grad());
    for (size_t i = 0; i < 2; ++i) values[i] -= 0.25 * gradient[i];
    EXPECT_FALSE(names_a_change(said([&] { sum(w * w).backward(); })));
  }
  EXPECT_EQ(of(w), (Values{0.125, 0.25}));
}

TEST(Saved, AValueMayBeSavedAgainAfterItChanged) {
  Variable w = leaf({1, 2});
  const Variable before = sum(w * w);
  w.value().fill_(5.0);
  const Variable after = sum(w * w);
  after.backward();
  EXPECT_EQ(of(w.grad()), (Values{10, 10}));
  EXPECT_TRUE(names_a_change(said([&] { before.backward(); })));
}

TEST(Saved, AChangeThatWasTakenBackIsNone) {
  Variable w = leaf({1, 2});
  const Variable y = sum(w * w);
  w.value().fill_(5.0);
  w.value().copy_(Tensor::from<double>({2}, {1, 2}));
  y.backward();
  EXPECT_EQ(of(w.grad()), (Values{2, 4}));
}

}  // namespace
}  // namespace espalier
