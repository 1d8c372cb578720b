// SPDX-License-Identifier: Apache-2.0
/// What tests over the whole model zoo share: small networks as after some training, and their
/// answers.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include <espalier/autograd/ops.h>
#include <espalier/nn/models/registry.h>
#include <espalier/nn/module/trace.h>
#include <espalier/nn/train/optimizer.h>

namespace espalier::prune {

/// Weights, norms and statistics that are all different, as after some training.
inline void randomize(nn::Module& model, uint64_t seed) {
  for (const nn::NamedParameter& p : model.named_parameters()) {
    if (p.parameter->shape().rank() > 1) continue;
    Rng rng = Rng(seed, p.name);
    Tensor& value = p.parameter->value.value();
    const bool scale = p.name.ends_with("weight");
    fill_uniform_(value, rng, scale ? 0.5 : -0.3, scale ? 1.5 : 0.3);
  }
  for (const nn::NamedBuffer& b : model.named_buffers()) {
    Rng rng = Rng(seed, b.name);
    const bool variance = b.name.ends_with("var");
    fill_uniform_(*b.buffer, rng, variance ? 0.5 : -0.3, variance ? 1.5 : 0.3);
  }
}

inline Variable random_input(std::string_view name,
                             const nn::ModelOptions& options,
                             int64_t batch) {
  Variable x = nn::example_input(name, options, batch);
  Rng rng(5, "input");
  if (x.dtype() == DType::I64) {
    int64_t* ids = x.value().data<int64_t>();
    for (int64_t i = 0; i < x.numel(); ++i) {
      ids[i] = static_cast<int64_t>(rng.below(static_cast<uint64_t>(options.num_classes)));
    }
  } else {
    fill_normal_(x.value(), rng);
  }
  return x;
}

inline Variable in_float64(const Variable& x) {
  return x.dtype() == DType::I64 ? x : Variable(x.value().to(DType::F64));
}

inline double largest_difference(const Tensor& a, const Tensor& b) {
  const std::vector<double> va = a.to_vector<double>();
  const std::vector<double> vb = b.to_vector<double>();
  if (a.shape() != b.shape()) return INFINITY;
  double largest = 0.0;
  for (size_t i = 0; i < va.size(); ++i) largest = std::max(largest, std::fabs(va[i] - vb[i]));
  return largest;
}

inline Tensor logits(nn::Module& model, const Variable& x) {
  const nn::EvalScope eval(model);
  const NoGrad no_grad;
  return model(x).value();
}

/// Options that make a model of the zoo quick to run.
inline nn::ModelOptions small_options(const std::string& name) {
  if (name.starts_with("lenet")) return {.image = {1, 28, 28}};
  if (name == "gpt") return {.num_classes = 17, .context = 8};
  const bool wide = name == "resnet18" || name == "resnet34" || name == "resnet50" ||
                    name == "wrn-16-8" || name == "wrn-28-10";
  nn::ModelOptions options = {.width = wide ? 0.125 : 0.25};
  const bool any_size = name.starts_with("resnet") || name.starts_with("wrn") ||
                        name.starts_with("mobilenet") || name.starts_with("densenet");
  if (any_size) options.image = {3, 16, 16};
  return options;
}

/// The models that have a stem for large images.
inline std::vector<std::string> models_with_stems() {
  std::vector<std::string> names;
  for (const nn::ModelInfo& model : nn::model_list()) {
    if (model.stems) names.push_back(model.name);
  }
  return names;
}

/// The same with that stem.
inline nn::ModelOptions large_stem_options(const std::string& name) {
  nn::ModelOptions options = small_options(name);
  options.stem = nn::Stem::ImageNet;
  options.image = {3, 32, 32};
  return options;
}

/// A label for every sample, or token, of `x`.
inline Tensor labels_for(const Variable& x) {
  const int64_t count = x.dtype() == DType::I64 ? x.numel() : x.size(0);
  Tensor labels = Tensor::empty({count}, DType::I64);
  for (int64_t i = 0; i < count; ++i) labels.data<int64_t>()[i] = i % 6;
  return labels;
}

inline void train_step(nn::Module& model,
                       nn::Optimizer& optimizer,
                       const Variable& x,
                       const Tensor& labels) {
  model.train();
  optimizer.zero_grad();
  const Variable y = model(x);  // of tokens (N,T,classes)
  cross_entropy(reshape(y, {labels.numel(), y.size(-1)}), labels).backward();
  optimizer.step();
}

}  // namespace espalier::prune
