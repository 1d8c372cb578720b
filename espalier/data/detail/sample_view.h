// SPDX-License-Identifier: Apache-2.0
/// Where the values of one sample of a batch lie, in either layout. Not a public interface.
#pragma once

#include <cstdint>

#include <espalier/core/tensor.h>

namespace espalier::data::detail {

/// Values of one sample of images (N,C,H,W) float32, in the order of C, H, W.
struct SampleView {
  float* first = nullptr;  ///< of channel 0, row 0, column 0
  int64_t step = 1;        ///< from one value to the next

  float& operator[](int64_t i) const { return first[i * step]; }
};

/// Of `sample`, `numel` values each.
inline SampleView sample_view(Tensor& images, int64_t sample, int64_t numel) {
  if (images.layout() != Layout::Nchw16n) return {images.data<float>() + sample * numel, 1};
  return {images.data<float>() + sample / kLanes * kLanes * numel + sample % kLanes, kLanes};
}

}  // namespace espalier::data::detail
