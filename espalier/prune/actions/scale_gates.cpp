// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <espalier/autograd/ops.h>
#include <espalier/nn/train/adam.h>
#include <espalier/prune/actions/actions.h>
#include <espalier/prune/scores/norm_scale.h>
#include <espalier/prune/update/mask_update.h>

namespace espalier::prune {
namespace {

/// The scale of a gate of 1.
constexpr double kOpen = 0.5;

class ScaleGates : public Action {
 public:
  explicit ScaleGates(const ScaleGateOptions& options) : options_(options) {}

  ActionFacts facts() const override { return {.needs_data = true, .needs_norm = true}; }

  void check(const Subject& subject) override {
    ESPALIER_CHECK(!gates_of(subject, "weight").empty(),
                   ValueError,
                   "prune: puts gates on batch norm behind convolutions; no channel of this model "
                   "that may go has one. Choose a model with batch norm (vgg16, resnet20)");
  }

  void enter(const Subject& subject, nn::TrainState&) override {
    for (const nn::NamedParameter& scale : norm_scales(subject.model)) {
      scale.parameter->value.value().fill_(kOpen);
      scale.parameter->apply_mask();
    }
    for (const nn::NamedParameter& shift : gates_of(subject, "bias")) {
      shift.parameter->value.value().fill_(0.0);
    }
  }

  void before_step(const Subject& subject, nn::TrainState&) override {
    if (adam_) return;
    gates_ = gates_of(subject, "weight");
    adam_ = std::make_unique<nn::Adam>(std::vector<nn::ParameterGroup>{{.parameters = gates_}},
                                       nn::AdamOptions{.lr = options_.rate * kOpen});
    adam_->load_state_dict(loaded_);
    loaded_.clear();
  }

  Variable penalty(const Subject&, nn::TrainState&) override {
    Variable total;
    int64_t gates = 0;
    for (const nn::NamedParameter& gate : gates_) {
      const Variable one = sum(abs(gate.parameter->value));
      total = total.defined() ? total + one : one;
      gates += gate.parameter->nnz();
    }
    const Variable above = total * (1.0 / (kOpen * static_cast<double>(gates))) + -options_.share;
    return above * above * options_.strength;
  }

  void after_backward(const Subject&, nn::TrainState& state) override {
    adam_->step();
    for (const nn::NamedParameter& gate : gates_) {
      Tensor& value = gate.parameter->value.value();
      dispatch_floating(value.dtype(), "scale gates", [&](auto zero) {
        using T = decltype(zero);
        T* g = value.data<T>();
        for (int64_t i = 0; i < value.numel(); ++i) {
          g[i] = std::clamp(g[i], T{0}, static_cast<T>(kOpen));
        }
      });
    }
    state.model.zero_grad();  // the training's optimizer leaves all alone
  }

  void leave(const Subject&, nn::TrainState&) override { adam_.reset(); }

  std::map<std::string, Tensor> state() const override {
    return adam_ ? adam_->state_dict() : loaded_;
  }
  void load_state(const std::map<std::string, Tensor>& state) override {
    adam_.reset();  // is made again when the model is at hand
    loaded_.clear();
    for (const auto& [name, tensor] : state) loaded_[name] = tensor.clone();
  }

 private:
  /// Scales (or shifts) of the channels that may go.
  static std::vector<nn::NamedParameter> gates_of(const Subject& subject, std::string_view member) {
    const MaskUpdate places(subject.model,
                            subject.pattern,
                            subject.settings,
                            subject.inputs,
                            {.single_producer_only = true});
    const std::vector<nn::NamedParameter> scales = norm_scales(subject.model);
    std::vector<nn::NamedParameter> found;
    for (const Site& site : places.sites()) {
      for (const SitePart& part : site.parts) {
        const std::string scale = part.name.substr(0, part.name.find_last_of('.') + 1) + "weight";
        if (!part.name.ends_with(member) || part.parameter->shape().rank() != 1) continue;
        if (!std::ranges::count(scales, scale, &nn::NamedParameter::name)) continue;
        found.push_back({part.name, part.parameter});
      }
    }
    return found;
  }

  ScaleGateOptions options_;
  std::vector<nn::NamedParameter> gates_;
  std::unique_ptr<nn::Adam> adam_;
  std::map<std::string, Tensor> loaded_;  // its state, until it is made
};

}  // namespace

std::shared_ptr<Action> scale_gates(const ScaleGateOptions& options) {
  return std::make_shared<ScaleGates>(options);
}

}  // namespace espalier::prune
