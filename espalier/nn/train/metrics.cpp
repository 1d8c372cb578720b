// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/train/metrics.h>

namespace espalier::nn {

int64_t count_correct(const Tensor& logits, const Tensor& labels) {
  ESPALIER_CHECK(logits.rank() == 2 && labels.rank() == 1 && labels.size(0) == logits.size(0) &&
                     logits.size(1) > 0,
                 ShapeError,
                 "count_correct: expects logits (N,C) and labels (N), got ",
                 logits,
                 " and ",
                 labels);
  ESPALIER_CHECK(labels.dtype() == DType::I64,
                 TypeError,
                 "count_correct: expects labels of type int64, got ",
                 name(labels.dtype()));
  const Tensor plain = logits.to(Layout::Nchw).contiguous();
  const Tensor wanted = labels.contiguous();
  const int64_t* label = wanted.data<int64_t>();
  const int64_t classes = plain.size(1);
  int64_t correct = 0;
  dispatch_floating(plain.dtype(), "count_correct", [&](auto zero) {
    const auto* row = plain.data<decltype(zero)>();
    for (int64_t n = 0; n < plain.size(0); ++n, row += classes) {
      int64_t best = 0;
      for (int64_t c = 1; c < classes; ++c) {
        if (row[c] > row[best]) best = c;
      }
      if (best == label[n]) ++correct;
    }
  });
  return correct;
}

}  // namespace espalier::nn
