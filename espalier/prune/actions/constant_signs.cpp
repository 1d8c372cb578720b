// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include <espalier/prune/actions/actions.h>
#include <espalier/prune/ground/as_double.h>
#include <espalier/prune/sites/site.h>

namespace espalier::prune {
namespace {

double deviation_of(const nn::Parameter& weight) {
  const Tensor values = as_double(weight.value.value());
  const double* w = values.data<double>();
  const auto n = static_cast<double>(values.numel());
  double mean = 0.0;
  for (int64_t i = 0; i < values.numel(); ++i) mean += w[i] / n;
  double variance = 0.0;
  for (int64_t i = 0; i < values.numel(); ++i) variance += (w[i] - mean) * (w[i] - mean) / n;
  return std::sqrt(variance);
}

class ConstantSigns : public Action {
 public:
  void before_step(const Subject& subject, nn::TrainState& state) override {
    if (state.step != 0) return;
    for (const nn::NamedParameter& weight :
         prunable_weights(subject.model, subject.settings.exclude)) {
      if (!weight.parameter->masked()) {
        sizes_[weight.name] = Tensor::scalar(deviation_of(*weight.parameter), DType::F64);
        continue;
      }
      const double size = sizes_.at(weight.name).item();
      Tensor values = as_double(weight.parameter->value.value());
      double* w = values.data<double>();
      for (int64_t i = 0; i < values.numel(); ++i) w[i] = std::copysign(size, w[i]);
      Tensor& value = weight.parameter->value.value();
      value.copy_(values.to(value.dtype()));
      weight.parameter->apply_mask();
    }
  }

  std::map<std::string, Tensor> state() const override { return sizes_; }
  void load_state(const std::map<std::string, Tensor>& state) override {
    sizes_.clear();
    for (const auto& [name, tensor] : state) sizes_[name] = tensor.clone();
  }

 private:
  std::map<std::string, Tensor> sizes_;
};

}  // namespace

std::shared_ptr<Action> constant_signs() {
  return std::make_shared<ConstantSigns>();
}

}  // namespace espalier::prune
