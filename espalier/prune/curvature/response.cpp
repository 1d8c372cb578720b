// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include <espalier/nn/graph/tracer.h>
#include <espalier/nn/layers/batch_norm.h>
#include <espalier/nn/module/trace.h>
#include <espalier/prune/curvature/response.h>

namespace espalier::prune {
namespace {

/// (N,C,H,W) or (..,C) as float64 rows of C, positions in order.
Tensor rows_of(const Tensor& activation) {
  const Tensor x = activation.to(Layout::Nchw).contiguous().to(DType::F64);
  const Shape& s = x.shape();
  if (s.rank() != 4) return x.reshape({x.numel() / x.size(-1), x.size(-1)});
  return x.permute({0, 2, 3, 1}).contiguous().reshape({x.numel() / s[1], s[1]});
}

/// The layer's product, followed through the norms behind it to the sum with a shortcut.
class Branch {
 public:
  Branch(const nn::TracedRun& run, const nn::Parameter& weight) : run_(run), weight_(weight) {
    for (const nn::GraphStep& step : run.graph.steps([](const auto&) { return false; })) {
      if (step.op >= 0) {
        follow_op(run.graph.op(step.op));
      } else {
        follow_call(run.graph.call(step.call));
      }
    }
  }

  int calls = 0;
  std::vector<double> scale;
  Tensor shortcut;
  nn::BatchNorm* norm = nullptr;

 private:
  void follow_call(const nn::GraphCall& call) {
    const nn::GraphValue& input = run_.graph.value(call.input);
    const auto product = call.module->weight_product(input.shape, input.layout);
    if (product && product->weight == &weight_) {
      ++calls;
      scale.assign(static_cast<size_t>(weight_.shape()[0]), 1.0);
      followed_ = call.output;
      return;
    }
    auto* next = dynamic_cast<nn::BatchNorm*>(call.module);
    if (next == nullptr || call.input != followed_ || next->scaling()) return;
    if (norm == nullptr) norm = next;
    const std::vector<double> scales = next->scales();
    for (size_t c = 0; c < scale.size(); ++c) {
      const auto at = static_cast<int64_t>(c);
      scale[c] *= scales[c] / std::sqrt(next->running_var.at({at}) + next->options().eps);
    }
    followed_ = next->options().relu ? kNothing : call.output;
  }

  void follow_op(const nn::GraphOp& op) {
    if (op.name != "add" || followed_ == kNothing) return;
    for (size_t i = 0; i < op.inputs.size(); ++i) {
      const int other = op.inputs[1 - i];
      if (op.inputs[i] != followed_ || other == followed_) continue;
      if (run_.graph.value(other).shape != run_.graph.value(op.output).shape) continue;
      shortcut = rows_of(run_.values[static_cast<size_t>(other)].value());
      followed_ = kNothing;
      return;
    }
  }

  static constexpr int kNothing = -1;

  const nn::TracedRun& run_;
  const nn::Parameter& weight_;
  int followed_ = kNothing;
};

}  // namespace

Response response_behind(nn::Module& model,
                         const nn::NamedParameter& weight,
                         const Tensor& images) {
  const nn::EvalScope eval(model);
  const NoGrad no_grad;
  const nn::TracedRun run = nn::trace_run(model, Variable(images));
  Branch branch(run, *weight.parameter);
  ESPALIER_CHECK(branch.calls > 0,
                 NotImplemented,
                 "calibration: no layer multiplies its input with the whole of ",
                 weight.name,
                 ", so its inputs can't be told. Leave it out with exclude");
  if (branch.calls > 1) return {std::vector<double>(branch.scale.size(), 1.0), {}, nullptr};
  return {std::move(branch.scale), std::move(branch.shortcut), branch.norm};
}

}  // namespace espalier::prune
