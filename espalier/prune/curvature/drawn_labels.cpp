// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/curvature/drawn_labels.h>

#include <algorithm>
#include <cmath>

#include <espalier/nn/module/trace.h>
#include <espalier/prune/ground/as_double.h>

namespace espalier::prune {
namespace {

/// A number of softmax(row), drawn.
int64_t drawn_label(std::span<const double> row, Rng& rng) {
  const double most = *std::ranges::max_element(row);
  double total = 0.0;
  for (const double logit : row) total += std::exp(logit - most);
  double left = rng.uniform64() * total;
  for (size_t c = 0; c + 1 < row.size(); ++c) {
    left -= std::exp(row[c] - most);
    if (left < 0.0) return static_cast<int64_t>(c);
  }
  return static_cast<int64_t>(row.size()) - 1;
}

}  // namespace

PruneInputs with_drawn_labels(nn::Module& model, const PruneInputs& inputs, const Rng& rng) {
  PruneInputs drawn = inputs;
  drawn.batch = [&model, rng, batch = inputs.batch](int64_t index) {
    data::Batch samples = batch(index);
    const nn::EvalScope eval(model);
    const NoGrad no_grad;
    const Tensor logits = as_double(model(Variable(samples.images)).value());
    Rng own = rng.fork(static_cast<uint64_t>(index));
    Tensor labels = Tensor::empty(samples.labels.shape(), DType::I64);
    const auto classes = static_cast<size_t>(logits.size(-1));
    for (int64_t n = 0; n < labels.numel(); ++n) {
      const double* row = logits.data<double>() + n * static_cast<int64_t>(classes);
      labels.data<int64_t>()[n] = drawn_label({row, classes}, own);
    }
    samples.labels = labels;
    return samples;
  };
  return drawn;
}

}  // namespace espalier::prune
