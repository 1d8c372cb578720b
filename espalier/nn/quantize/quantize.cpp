// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/quantize/quantize.h>

#include <cmath>
#include <map>
#include <set>

#include <espalier/nn/forms/slots.h>
#include <espalier/nn/introspect/counting.h>

namespace espalier::nn {
namespace {

struct NamedQuantizer {
  std::string layer;
  LayerQuantizer* quantizer;
};

std::vector<NamedQuantizer> quantizers_of(Module& model) {
  std::vector<NamedQuantizer> out;
  for (const NamedModule& part : model.named_modules()) {
    auto* quantizer = dynamic_cast<LayerQuantizer*>(part.module);
    if (quantizer == nullptr) continue;
    const size_t dot = part.name.rfind('.');
    out.push_back({dot == std::string::npos ? "" : part.name.substr(0, dot), quantizer});
  }
  return out;
}

std::string owner_of(const std::string& parameter) {
  const size_t dot = parameter.rfind('.');
  return dot == std::string::npos ? "" : parameter.substr(0, dot);
}

}  // namespace

std::vector<std::string> attach_quantizers(Module& model) {
  std::set<std::string> able;
  for (const FormSite& site : form_sites(model)) {
    if (site.slot.whole && site.form() == nullptr) site.set(std::make_shared<LayerQuantizer>());
    if (dynamic_cast<LayerQuantizer*>(site.form()) != nullptr) able.insert(site.layer);
  }
  std::vector<std::string> left;
  for (const NamedParameter& weight : prunable_parameters(model)) {
    if (!able.contains(owner_of(weight.name))) left.push_back(owner_of(weight.name));
  }
  return left;
}

bool is_quantized(Module& model) {
  return !quantizers_of(model).empty();
}

QuantizationAware::QuantizationAware(double freeze_at) : freeze_at_(freeze_at) {
  ESPALIER_CHECK(freeze_at >= 0.0 && freeze_at <= 1.0,
                 ValueError,
                 "QuantizationAware: expects freeze_at in 0..1, got ",
                 freeze_at);
}

void QuantizationAware::before_step(TrainState& state) {
  const auto step = static_cast<double>(state.step);
  const bool late = step >= freeze_at_ * static_cast<double>(state.total_steps);
  for (const NamedQuantizer& one : quantizers_of(state.model)) {
    one.quantizer->freeze(late && one.quantizer->calibrated());
  }
}

std::vector<QuantizedLayer> quantized_layers(Module& model) {
  std::map<std::string, LayerQuantizer*> quantizers;
  for (const NamedQuantizer& one : quantizers_of(model)) {
    if (one.quantizer->calibrated()) quantizers.emplace(one.layer, one.quantizer);
  }
  std::vector<QuantizedLayer> out;
  for (const NamedParameter& p : prunable_parameters(model)) {
    const auto found = quantizers.find(owner_of(p.name));
    if (found == quantizers.end()) continue;
    const Tensor& weight = p.parameter->value.value();
    QuantizedLayer layer{.name = found->first, .weights = weight.numel()};
    for (int64_t i = 0; i < weight.numel(); ++i) {
      layer.nonzero_float += weight.data<float>()[i] != 0.0F ? 1 : 0;
    }
    layer.nonzero = sparse::quantize_weight(weight).nonzero();
    const sparse::AffineGrid grid = found->second->grid();
    layer.least = grid.dequantize(0);
    layer.largest = grid.dequantize(255);
    layer.scale = grid.scale;
    layer.zero = grid.zero;
    out.push_back(std::move(layer));
  }
  return out;
}

Folded fold_batch_norm(const Tensor& weight,
                       const Tensor& bias,
                       const Tensor& gamma,
                       const Tensor& beta,
                       const Tensor& mean,
                       const Tensor& variance,
                       double eps) {
  const int64_t channels = weight.rank() == 0 ? 0 : weight.size(0);
  for (const Tensor* one : {&gamma, &beta, &mean, &variance}) {
    ESPALIER_CHECK(one->shape() == Shape{channels},
                   ShapeError,
                   "fold_batch_norm: expects tensors of ",
                   channels,
                   " channels, got ",
                   one->shape());
  }
  Folded out{weight.to(DType::F32).contiguous().clone(), Tensor::zeros({channels})};
  const int64_t row = channels == 0 ? 0 : weight.numel() / channels;
  for (int64_t k = 0; k < channels; ++k) {
    const double factor = gamma.at({k}) / std::sqrt(variance.at({k}) + eps);
    const double shift = bias.defined() ? bias.at({k}) : 0.0;
    for (int64_t i = 0; i < row; ++i) {
      float& w = out.weight.data<float>()[k * row + i];
      w = static_cast<float>(w * factor);
    }
    out.bias.data<float>()[k] = static_cast<float>(beta.at({k}) + (shift - mean.at({k})) * factor);
  }
  return out;
}

}  // namespace espalier::nn
