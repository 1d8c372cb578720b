// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/curvature/landscape.h>

#include <espalier/autograd/ops.h>
#include <espalier/nn/module/trace.h>
#include <espalier/nn/train/objective.h>
#include <espalier/prune/ground/as_double.h>

namespace espalier::prune {
namespace {

/// Float64 copies; zeros for what is undefined.
std::vector<Tensor> values_of(const std::vector<Variable>& gradients,
                              const std::vector<Variable>& weights) {
  std::vector<Tensor> values;
  for (size_t w = 0; w < weights.size(); ++w) {
    values.push_back(gradients[w].defined() ? as_double(gradients[w].value())
                                            : Tensor::zeros(weights[w].shape(), DType::F64));
  }
  return values;
}

}  // namespace

std::vector<Tensor> hessian_vector_product(const Variable& value,
                                           const std::vector<Variable>& weights,
                                           std::span<const Tensor> v) {
  ESPALIER_CHECK(v.size() == weights.size(),
                 ShapeError,
                 "hessian_vector_product: expects a tensor for each of ",
                 weights.size(),
                 " weights, got ",
                 v.size());
  const RecordingScope recording(true);
  const std::vector<Variable> gradient =
      grad({value}, weights, {.create_graph = true, .allow_unused = true});
  Variable dot;
  for (size_t w = 0; w < weights.size(); ++w) {
    if (!gradient[w].defined()) continue;
    const Variable term = sum(mul(gradient[w], Variable(v[w].to(gradient[w].dtype()))));
    dot = dot.defined() ? add(dot, term) : term;
  }
  // A gradient that is constant has no derivative.
  const bool constant = !dot.defined() || !dot.requires_grad();
  return values_of(constant ? std::vector<Variable>(weights.size())
                            : grad({dot}, weights, {.allow_unused = true}),
                   weights);
}

Landscape::Landscape(const nn::Module& model,
                     std::span<const nn::NamedParameter> weights,
                     const PruneInputs& inputs,
                     const LandscapeOptions& options)
    : net_(model.clone()), loss_(inputs.loss), precision_(options.precision) {
  if (precision_) net_->to(*precision_);
  net_->train(options.mode == ScoringMode::Train);
  if (options.masks != nullptr) {
    for (const auto& [name, mask] : *options.masks) net_->parameter(name).set_mask(mask);
  }
  for (const nn::NamedParameter& weight : weights) {
    nn::Parameter& parameter = net_->parameter(weight.name);
    parameter.grad_request = options.gradients;
    weights_.push_back(parameter.value);
  }
}

Variable Landscape::logits(const Tensor& images) {
  const bool text = images.dtype() == DType::I64;
  if (!precision_ || text) return (*net_)(Variable(images));
  // The float32 kernels work in lanes.
  const Layout layout = *precision_ == DType::F32 ? Layout::Nchw16n : Layout::Nchw;
  return (*net_)(Variable(images.to(*precision_).to(layout)));
}

Variable Landscape::loss(const data::Batch& batch) {
  const Variable out = nn::class_rows(logits(batch.images));
  return loss_ ? loss_(out, batch.labels) : cross_entropy(out, batch.labels);
}

std::vector<Tensor> Landscape::gradient(const data::Batch& batch) {
  const RecordingScope recording(true);
  return values_of(grad({loss(batch)}, weights_, {.allow_unused = true}), weights_);
}

std::vector<Tensor> Landscape::hessian_times(const data::Batch& batch, std::span<const Tensor> v) {
  const RecordingScope recording(true);
  return hessian_vector_product(loss(batch), weights_, v);
}

int64_t Landscape::outputs(const data::Batch& batch) {
  const nn::EvalScope eval(*net_);
  const NoGrad no_grad;
  return logits(batch.images).size(-1);
}

}  // namespace espalier::prune
