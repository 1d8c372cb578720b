// SPDX-License-Identifier: Apache-2.0
// What every op promises, checked on every sample of every op in op_list(). The tests are named
// op_sample, for example `--gtest_filter=*/add_channel_bias`.
#include <algorithm>
#include <cctype>
#include <cmath>
#include <set>

#include <gtest/gtest.h>

#include <espalier/autograd/derivative/gradcheck.h>
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/core/parallel.h>

namespace espalier {
namespace {

// Float64 against a float64 reference or another order of summation: a few roundings.
constexpr double kTolerance64 = 1e-12;
// Float32 against float64 on the same inputs: some ten roundings of numbers around 1.
constexpr double kTolerance32 = 4e-6;

struct Case {
  const OpInfo* op;
  const OpSample* sample;
};

std::string case_name(const Case& c) {
  std::string name = c.op->name + "_" + c.sample->name;
  for (char& letter : name) {
    if (!std::isalnum(static_cast<unsigned char>(letter))) letter = '_';
  }
  return name;
}
void PrintTo(const Case& c, std::ostream* os) {
  *os << c.op->name << '/' << c.sample->name;
}

// The cases for which `condition(op, sample)` holds.
template <class Condition>
std::vector<Case> cases_where(Condition condition) {
  std::vector<Case> cases;
  for (const OpInfo& op : op_list()) {
    for (const OpSample& sample : op.samples) {
      if (condition(op, sample)) cases.push_back({&op, &sample});
    }
  }
  return cases;
}

using Values = std::vector<double>;
Values values(const Tensor& tensor) {
  return tensor.to_vector<double>();
}

void expect_near(const Values& actual, const Values& expected, double tolerance, const char* what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  for (size_t i = 0; i < actual.size(); ++i) {
    if (std::isnan(expected[i])) {
      EXPECT_TRUE(std::isnan(actual[i])) << what << ", element " << i;
    } else if (std::isinf(expected[i])) {
      EXPECT_EQ(actual[i], expected[i]) << what << ", element " << i;
    } else {
      EXPECT_NEAR(actual[i], expected[i], tolerance * (1.0 + std::abs(expected[i])))
          << what << ", element " << i;
    }
  }
}

// Same bits, so that NaN equals NaN and 0 differs from -0.
void expect_same_bits(const Tensor& actual, const Tensor& expected, const std::string& what) {
  ASSERT_EQ(actual.shape(), expected.shape()) << what;
  ASSERT_EQ(actual.dtype(), expected.dtype()) << what;
  const Tensor a = actual.to(Layout::Nchw).contiguous();
  const Tensor b = expected.to(Layout::Nchw).contiguous();
  const auto* pa = static_cast<const std::byte*>(a.raw());
  const auto* pb = static_cast<const std::byte*>(b.raw());
  EXPECT_TRUE(std::equal(pa, pa + a.nbytes(), pb)) << what;
}

void expect_zero_padding(const Tensor& tensor, const char* what) {
  if (tensor.layout() != Layout::Nchw16n || tensor.numel() == 0) return;
  const Values lanes = values(tensor.physical());
  const int64_t block = static_cast<int64_t>(lanes.size()) / lane_blocks(tensor.size(0));
  for (size_t i = 0; i < lanes.size(); ++i) {
    const auto at = static_cast<int64_t>(i);
    if (at / block * kLanes + at % kLanes < tensor.size(0)) continue;
    ASSERT_EQ(lanes[i], 0.0) << what << ", padding lane " << at % kLanes;
  }
}

// Weights for the outputs, so that the gradient sees every element differently.
Variable incoming(const Variable& output) {
  Tensor weights = Tensor::empty(output.shape(), DType::F64);
  for (int64_t i = 0; i < weights.numel(); ++i) {
    weights.data<double>()[i] = 0.5 + static_cast<double>(i * 7 % 13) / 13.0;
  }
  return Variable(weights.to(output.dtype()).to(output.layout()));
}

struct Outcome {
  Variable output;
  std::vector<Variable> gradients;
};

Outcome run(const Case& c, const std::vector<Tensor>& inputs, bool create_graph = false) {
  std::vector<Variable> leaves;
  for (const Tensor& input : inputs) leaves.emplace_back(input, true);
  Outcome result{c.sample->run(leaves), {}};
  result.gradients = grad({result.output},
                          leaves,
                          {.create_graph = create_graph,
                           .allow_unused = true,
                           .grad_outputs = {incoming(result.output)}});
  return result;
}

std::vector<Tensor> converted(const std::vector<Tensor>& inputs, DType dtype) {
  std::vector<Tensor> result;
  for (const Tensor& input : inputs) result.push_back(input.to(dtype));
  return result;
}

class OpSuite : public testing::TestWithParam<Case> {
 protected:
  const OpInfo& op() const { return *GetParam().op; }
  const OpSample& sample() const { return *GetParam().sample; }
};
// What not every sample is checked for.
class OpWithReference : public OpSuite {};
class OpWithNumericGradient : public OpSuite {};
class OpWithRecordedGradient : public OpSuite {};
class OpOfActivations : public OpSuite {};

TEST_P(OpWithReference, ValueMatchesTheReference) {
  const Outcome plain = run(GetParam(), sample().inputs);
  expect_near(values(plain.output.value()), op().reference(sample()), kTolerance64, "value");
}

TEST_P(OpSuite, GradientHasTheInputsShapeTypeAndLayout) {
  const Outcome plain = run(GetParam(), sample().inputs);
  for (size_t i = 0; i < sample().inputs.size(); ++i) {
    if (!plain.gradients[i].defined()) continue;
    EXPECT_EQ(plain.gradients[i].shape(), sample().inputs[i].shape());
    EXPECT_EQ(plain.gradients[i].dtype(), sample().inputs[i].dtype());
    EXPECT_EQ(plain.gradients[i].layout(), sample().inputs[i].layout());
  }
}

TEST_P(OpSuite, Float32MatchesFloat64) {
  const std::vector<Tensor> narrow = converted(sample().inputs, DType::F32);
  const Outcome single = run(GetParam(), narrow);
  const Outcome twice = run(GetParam(), converted(narrow, DType::F64));
  expect_near(values(single.output.value()), values(twice.output.value()), kTolerance32, "value");
  for (size_t i = 0; i < narrow.size(); ++i) {
    ASSERT_EQ(single.gradients[i].defined(), twice.gradients[i].defined());
    if (!single.gradients[i].defined()) continue;
    EXPECT_EQ(single.gradients[i].dtype(), DType::F32);
    expect_near(values(single.gradients[i].value()),
                values(twice.gradients[i].value()),
                kTolerance32,
                "gradient");
  }
}

TEST_P(OpWithNumericGradient, GradientMatchesDifferences) {
  EXPECT_EQ(gradcheck(sample().run, sample().inputs), "");
}

TEST_P(OpWithNumericGradient, SecondGradientMatchesDifferencesOrThrowsByName) {
  if (op().gradient == OpGradient::Twice) {
    EXPECT_EQ(gradgradcheck(sample().run, sample().inputs), "");
    return;
  }
  try {
    run(GetParam(), sample().inputs, true);
    FAIL() << "create_graph must throw NotImplemented";
  } catch (const NotImplemented& error) {
    EXPECT_NE(std::string(error.what()).find(op().name), std::string::npos) << error.what();
  }
}

TEST_P(OpWithRecordedGradient, RecordedGradientEqualsTheFusedOne) {
  const Outcome fused = run(GetParam(), sample().inputs);
  const Outcome recorded = run(GetParam(), sample().inputs, true);
  for (size_t i = 0; i < fused.gradients.size(); ++i) {
    ASSERT_EQ(fused.gradients[i].defined(), recorded.gradients[i].defined());
    if (!fused.gradients[i].defined()) continue;
    expect_near(values(recorded.gradients[i].value()),
                values(fused.gradients[i].value()),
                kTolerance64,
                "gradient");
  }
}

TEST_P(OpOfActivations, SixteenLanesGiveThePlainResult) {
  std::vector<Tensor> inputs = sample().inputs;
  int64_t batch = 0;
  for (int i : sample().activations) {
    Tensor& input = inputs[static_cast<size_t>(i)];
    batch = input.size(0);
    input = input.to(Layout::Nchw16n);
  }
  const Outcome plain = run(GetParam(), sample().inputs);
  const Outcome lanes = run(GetParam(), inputs);
  const Tensor& out = lanes.output.value();
  ASSERT_EQ(out.shape(), plain.output.shape());
  expect_near(values(out), values(plain.output.value()), kTolerance64, "value");
  expect_zero_padding(out, "value");
  const bool keeps = !sample().plain_result && out.rank() > 0 && out.size(0) == batch;
  EXPECT_EQ(out.layout(), keeps ? Layout::Nchw16n : Layout::Nchw);
  for (size_t i = 0; i < inputs.size(); ++i) {
    ASSERT_EQ(lanes.gradients[i].defined(), plain.gradients[i].defined());
    if (!lanes.gradients[i].defined()) continue;
    const Tensor& gradient = lanes.gradients[i].value();
    expect_near(values(gradient), values(plain.gradients[i].value()), kTolerance64, "gradient");
    expect_zero_padding(gradient, "gradient");
    EXPECT_EQ(gradient.layout(), inputs[i].layout()) << "gradient of input " << i;
  }
}

// The same values with gaps or in another order in memory.
Tensor scattered(const Tensor& input) {
  if (input.rank() == 0) return input;
  if (input.rank() == 1) {
    Tensor every_second = Tensor::zeros({2 * input.size(0)}, input.dtype());
    every_second = every_second.slice(0, 0, 2 * input.size(0), 2);
    every_second.copy_(input);
    return every_second;
  }
  std::vector<int> reversed;
  for (int d = input.rank(); d-- > 0;) reversed.push_back(d);
  return input.permute(reversed).clone().permute(reversed);
}

TEST_P(OpSuite, NonContiguousInputsGiveTheSameBits) {
  std::vector<Tensor> inputs;
  for (const Tensor& input : sample().inputs) inputs.push_back(scattered(input));
  const Outcome contiguous = run(GetParam(), sample().inputs);
  const Outcome strided = run(GetParam(), inputs);
  const auto expect_same = [&](const Variable& actual, const Variable& expected, const char* what) {
    if (op().order_depends_on_strides) {
      expect_near(values(actual.value()), values(expected.value()), kTolerance64, what);
    } else {
      expect_same_bits(actual.value(), expected.value(), what);
    }
  };
  expect_same(strided.output, contiguous.output, "value");
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!contiguous.gradients[i].defined()) continue;
    expect_same(strided.gradients[i], contiguous.gradients[i], "gradient");
  }
}

TEST_P(OpSuite, AnyThreadCountGivesTheSameBits) {
  const int threads_before = num_threads();
  const std::vector<Tensor> inputs = converted(sample().inputs, DType::F32);
  set_num_threads(1);
  const Outcome one = run(GetParam(), inputs);
  for (int threads : {2, 7}) {
    set_num_threads(threads);
    const Outcome many = run(GetParam(), inputs);
    const std::string what = std::to_string(threads) + " threads";
    expect_same_bits(many.output.value(), one.output.value(), what);
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (!one.gradients[i].defined()) continue;
      expect_same_bits(many.gradients[i].value(), one.gradients[i].value(), what);
    }
  }
  set_num_threads(threads_before);
}

const auto kNames = [](const auto& info) { return case_name(info.param); };

INSTANTIATE_TEST_SUITE_P(Ops,
                         OpSuite,
                         testing::ValuesIn(cases_where([](const auto&, const auto&) {
                           return true;
                         })),
                         kNames);
INSTANTIATE_TEST_SUITE_P(Ops,
                         OpWithReference,
                         testing::ValuesIn(cases_where([](const OpInfo& op, const auto&) {
                           return op.reference != nullptr;
                         })),
                         kNames);
INSTANTIATE_TEST_SUITE_P(Ops,
                         OpWithNumericGradient,
                         testing::ValuesIn(cases_where([](const OpInfo& op, const auto&) {
                           return op.gradient != OpGradient::StraightThrough;
                         })),
                         kNames);
INSTANTIATE_TEST_SUITE_P(Ops,
                         OpWithRecordedGradient,
                         testing::ValuesIn(cases_where([](const OpInfo& op, const auto&) {
                           return op.gradient != OpGradient::Once;
                         })),
                         kNames);
INSTANTIATE_TEST_SUITE_P(Ops,
                         OpOfActivations,
                         testing::ValuesIn(cases_where([](const auto&, const OpSample& sample) {
                           return !sample.activations.empty();
                         })),
                         kNames);

TEST(OpList, NamesEachOpOnceAndEachSampleOfAnOpOnce) {
  std::set<std::string> ops;
  for (const OpInfo& op : op_list()) {
    EXPECT_TRUE(ops.insert(op.name).second) << op.name;
    std::set<std::string> samples;
    for (const OpSample& sample : op.samples) {
      EXPECT_TRUE(samples.insert(sample.name).second) << op.name << '/' << sample.name;
    }
    EXPECT_GE(op.samples.size(), 2u) << op.name;
  }
}

TEST(OpList, ShowsEveryOpAnEmptyTensor) {
  for (const OpInfo& op : op_list()) {
    const bool shown = std::any_of(op.samples.begin(), op.samples.end(), [](const OpSample& s) {
      return std::any_of(
          s.inputs.begin(), s.inputs.end(), [](const Tensor& t) { return t.numel() == 0; });
    });
    EXPECT_TRUE(shown) << op.name;
  }
}

TEST(OpList, ShowsEveryOpOfActivationsABatchThatDoesNotFillItsLanes) {
  for (const OpInfo& op : op_list()) {
    bool takes_activations = false;
    bool shown = false;
    for (const OpSample& sample : op.samples) {
      for (int i : sample.activations) {
        takes_activations = true;
        shown = shown || sample.inputs[static_cast<size_t>(i)].size(0) > kLanes;
      }
    }
    EXPECT_EQ(shown, takes_activations) << op.name;
  }
}

}  // namespace
}  // namespace espalier
