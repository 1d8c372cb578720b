// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/introspect/samples.h>

#include <algorithm>

#include <espalier/nn/layers/embedding.h>

namespace espalier::nn {

bool reads_tokens(Module& model) {
  return std::ranges::any_of(model.named_modules(), [](const NamedModule& part) {
    return dynamic_cast<const Embedding*>(part.module) != nullptr;
  });
}

Tensor zero_samples(Module& model, const Shape& sample, int64_t count) {
  return Tensor::zeros(sample.inserted(0, count), reads_tokens(model) ? DType::I64 : DType::F32);
}

}  // namespace espalier::nn
