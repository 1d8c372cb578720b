// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/module/samples.h>

#include <espalier/core/error.h>

namespace espalier::nn {

Tensor zero_samples(const Shape& sample, int64_t count) {
  ESPALIER_CHECK(sample.rank() == 3 || sample.rank() == 1,
                 ShapeError,
                 "a sample: expects the shape (C,H,W) of an image or (T) of a text, got ",
                 sample);
  return Tensor::zeros(sample.inserted(0, count), sample.rank() == 3 ? DType::F32 : DType::I64);
}

}  // namespace espalier::nn
