// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <string_view>

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

class BranchListener : public nn::TraceListener {
 public:
  explicit BranchListener(const nn::Parameter* weight) : weight_(weight) {}

  void enter(nn::Module&, const Variable&) override {}

  void leave(nn::Module& module, const Variable& input, const Variable& output) override {
    const auto product = module.weight_product(input.shape(), input.layout());
    if (product && product->weight == weight_) {
      ++calls;
      scale.assign(static_cast<size_t>(weight_->shape()[0]), 1.0);
      followed_ = output;
      return;
    }
    const auto* norm = dynamic_cast<const nn::BatchNorm*>(&module);
    if (norm == nullptr || !is_followed(input) || norm->scaling()) return;
    const std::vector<double> scales = norm->scales();
    for (size_t c = 0; c < scale.size(); ++c) {
      const auto at = static_cast<int64_t>(c);
      scale[c] *= scales[c] / std::sqrt(norm->running_var.at({at}) + norm->options().eps);
    }
    followed_ = norm->options().relu ? Variable() : output;
  }

  void op(const char* name,
          const Variable& output,
          const std::vector<Variable>& inputs,
          const BackwardFn&) override {
    if (std::string_view(name) != "add") return;
    for (size_t i = 0; i < inputs.size(); ++i) {
      const Variable& other = inputs[1 - i];
      if (!is_followed(inputs[i]) || is_followed(other)) continue;
      if (other.shape() != output.shape()) continue;
      shortcut = rows_of(other.value());
      followed_ = Variable();
      return;
    }
  }

  int calls = 0;
  std::vector<double> scale;
  Tensor shortcut;

 private:
  bool is_followed(const Variable& value) const {
    return followed_.defined() && value.state() == followed_.state();
  }

  const nn::Parameter* weight_;
  Variable followed_;
};

}  // namespace

Response response_behind(nn::Module& model, const ScoredWeight& weight, const Tensor& images) {
  const nn::EvalScope eval(model);
  const NoGrad no_grad;
  BranchListener listener(weight.parameter);
  {
    const nn::TraceScope scope(listener);
    model(Variable(images));
  }
  ESPALIER_CHECK(listener.calls > 0,
                 NotImplemented,
                 "calibration: no layer multiplies its input with the whole of ",
                 weight.name,
                 ", so its inputs can't be told. Leave it out with exclude");
  if (listener.calls == 1) return {std::move(listener.scale), std::move(listener.shortcut)};
  return {std::vector<double>(listener.scale.size(), 1.0), {}};
}

}  // namespace espalier::prune
