// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/curvature/sample_gradients.h>

#include <algorithm>

namespace espalier::prune {
namespace {

void check(const PruneInputs& inputs, const SampleGradientOptions& options) {
  ESPALIER_CHECK(inputs.batch,
                 ValueError,
                 "sample gradients: need training data; set PruneInputs::batch, or prune inside of "
                 "fit()");
  ESPALIER_CHECK(options.gradients >= 1 && options.samples >= 1,
                 ValueError,
                 "sample gradients: expects at least 1 gradient of at least 1 sample, got ",
                 options.gradients,
                 " of ",
                 options.samples);
}

}  // namespace

data::Batch samples_of(const data::Batch& batch, int64_t begin, int64_t end) {
  const int64_t labels = batch.labels.size(0) / batch.images.size(0);  // of a text several a sample
  return {batch.images.to(Layout::Nchw).slice(0, begin, end).contiguous(),
          batch.labels.slice(0, begin * labels, end * labels).contiguous()};
}

int64_t gradient_count(const PruneInputs& inputs, const SampleGradientOptions& options) {
  check(inputs, options);
  if (!inputs.single_batch) return options.gradients;
  return std::min(options.gradients, inputs.batch(0).images.size(0) / options.samples);
}

void visit_sample_gradients(const nn::Module& model,
                            std::span<const nn::NamedParameter> weights,
                            const PruneInputs& inputs,
                            const SampleGradientOptions& options,
                            GradientSink sink) {
  int64_t left = gradient_count(inputs, options);
  Landscape landscape(model, weights, inputs, {.mode = options.mode});
  for (int64_t index = 0; left > 0; ++index) {
    const data::Batch batch = inputs.batch(index);
    const int64_t size = batch.images.size(0);
    ESPALIER_CHECK(size >= options.samples,
                   ValueError,
                   "sample gradients: a gradient of ",
                   options.samples,
                   " samples needs batches as large, but batch ",
                   index,
                   " has ",
                   size);
    for (int64_t end = options.samples; end <= size && left > 0; end += options.samples) {
      sink(landscape.gradient(samples_of(batch, end - options.samples, end)));
      --left;
    }
  }
}

}  // namespace espalier::prune
