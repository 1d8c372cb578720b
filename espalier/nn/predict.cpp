// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/predict.h>

#include <algorithm>

namespace espalier::nn {

Layout batch_layout(Module& model) {
  const std::vector<NamedModule> parts = model.named_modules();
  const bool planes = std::ranges::any_of(
      parts, [](const NamedModule& part) { return part.module->differs_by_sample(); });
  return planes ? Layout::Nchw : Layout::Nchw16n;
}

Tensor predict(Module& model, const Tensor& images, int64_t batch_size) {
  ESPALIER_CHECK(images.defined() && images.rank() >= 1 && images.size(0) > 0,
                 ValueError,
                 "predict: expects samples in the first dimension, got ",
                 images);
  ESPALIER_CHECK(
      batch_size >= 1, ValueError, "predict: expects a batch size >= 1, got ", batch_size);
  const EvalScope eval(model);
  const NoGrad no_grad;
  const bool are_images = images.rank() == 4 && is_floating(images.dtype());
  const Layout layout = are_images ? batch_layout(model) : Layout::Nchw;
  const Tensor plain = images.to(Layout::Nchw);
  const int64_t count = images.size(0);
  Tensor all;
  for (int64_t begin = 0; begin < count; begin += batch_size) {
    const int64_t end = std::min(count, begin + batch_size);
    const Tensor batch = plain.slice(0, begin, end).contiguous();
    const Tensor out = model(Variable(batch.to(layout))).value().to(Layout::Nchw);
    ESPALIER_CHECK(out.rank() >= 1 && out.size(0) == end - begin,
                   ShapeError,
                   "predict: the model returns ",
                   out,
                   " for ",
                   end - begin,
                   " samples; expected a row for each");
    if (!all.defined()) all = Tensor::empty(out.shape().with(0, count), out.dtype());
    Tensor rows = all.slice(0, begin, end);
    rows.copy_(out);
  }
  return all;
}

}  // namespace espalier::nn
