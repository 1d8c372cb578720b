// SPDX-License-Identifier: Apache-2.0
// A skeleton to copy: how to add a differentiable op. This one is softsign, y = a / (1 + |a|), with
// d/da = 1 / (1 + |a|)^2.
//
// 1. Copy `softsign()` and `softsign_op()` to espalier/autograd/ops/softsign.cpp; the first comment
// of that
//    file says formula and derivative, as above.
// 2. Declare `softsign()` in espalier/autograd/ops/elementwise.h, with what it throws.
// 3. Add `ESPALIER_OP(softsign)` to espalier/autograd/ops.inc; now the op suite of
// espalier/autograd/tests checks
//    every sample in both element types, both layouts, out of order in memory and on several
//    threads, and its first and second derivatives against differences.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>

#include <espalier/autograd/derivative/gradcheck.h>
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/map.h>

namespace espalier {
namespace {

Variable softsign(const Variable& a) {
  // The value. `map` takes any strides and both layouts; f is instantiated for float and double.
  Tensor out = detail::map(a.value(), "softsign", [](auto x) { return x / (1 + std::abs(x)); });

  // The gradient with respect to each input. It captures only what it needs, as Saved, which
  // notices when it was changed in the meantime: here the input. (To keep the output, pass
  // SaveOutput::Yes and read ctx.output; never capture it.)
  return record("softsign", std::move(out), {a}, [a = Saved(a)](const BackwardContext& ctx) {
    const auto fused = [](auto g, auto x) {
      const auto width = 1 + std::abs(x);
      return g / (width * width);
    };
    // In differentiable ops, so that the gradient has a gradient. An op that can't do that calls
    // itself OpGradient::Once and throws NotImplemented by name when is_recording().
    const auto recorded = [&] { return div(ctx.grad, pow(add(abs(a), 1.0), 2.0)); };
    return std::vector<Variable>{detail::chain(ctx.grad, a, fused, recorded)};
  });
}

// What the op suite runs. Samples are small, keep away from kinks (differences need a slope), and
// show an empty tensor and a batch that does not fill its sixteen lanes. {0}: input 0 is a batch of
// activations, which may come in `Nchw16n`.
OpInfo softsign_op() {
  const auto run = [](const std::vector<Variable>& in) { return softsign(in[0]); };
  return {.name = "softsign",
          // Element by element, and 0 stays 0: channels pass through it. An op with settings lists
          // them as .attributes = {"slope"}, and tells their values right before record():
          // detail::describe_op([&] { return OpAttributes{{"slope", slope}}; });
          .rule = OpRule::ZeroToZero,
          .samples = {{"rows", {sample_tensor({3, 5}, 1, -2.0, 2.0)}, run, {0}},
                      {"planes", {sample_tensor({17, 2, 2, 2}, 2, -2.0, 2.0)}, run, {0}},
                      {"empty", {sample_tensor({0, 3}, 3)}, run, {0}}},
          // Computed another way than the op does.
          .reference = [](const OpSample& sample) {
            std::vector<double> y = sample.inputs[0].to_vector<double>();
            for (double& v : y) v = v < 0.0 ? 1.0 / (1.0 - v) - 1.0 : 1.0 - 1.0 / (1.0 + v);
            return y;
          }};
}

bool check(bool fact, const std::string& what) {
  std::printf("%s: %s\n", fact ? "ok" : "FAILED", what.c_str());
  return fact;
}

bool check_sample(const OpInfo& op, const OpSample& sample) {
  const std::vector<double> y =
      sample.run({Variable(sample.inputs[0])}).value().to_vector<double>();
  const std::vector<double> expected = op.reference(sample);
  double worst = 0.0;
  for (size_t i = 0; i < y.size(); ++i) worst = std::max(worst, std::abs(y[i] - expected[i]));
  bool good = check(worst < 1e-15, sample.name + ": the value");

  const std::string first = gradcheck(sample.run, sample.inputs);
  good &= check(first.empty(), sample.name + ": the gradient " + first);
  const std::string second = gradgradcheck(sample.run, sample.inputs);
  good &= check(second.empty(), sample.name + ": the gradient's gradient " + second);

  const Tensor lanes = sample.run({Variable(sample.inputs[0].to(Layout::Nchw16n))}).value();
  good &= check(lanes.layout() == Layout::Nchw16n && lanes.to_vector<double>() == y,
                sample.name + ": the same in sixteen lanes");
  return good;
}

}  // namespace
}  // namespace espalier

int main() {
  const espalier::OpInfo op = espalier::softsign_op();
  bool good = true;
  for (const espalier::OpSample& sample : op.samples) good &= espalier::check_sample(op, sample);
  return good ? 0 : 1;
}
