// SPDX-License-Identifier: Apache-2.0
#include <espalier/sparse/int8.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include <espalier/core/error.h>

namespace espalier::sparse {

uint8_t AffineGrid::quantize(float x) const {
  // Cut before rounding: what is far out must not overflow, and NaN becomes the lower end.
  const float steps = x * (1.0F / scale);
  const auto z = static_cast<float>(zero);
  const float cut = std::min(std::max(-z, steps), 255.0F - z);
  return static_cast<uint8_t>(static_cast<int32_t>(std::nearbyint(cut)) + zero);
}

AffineGrid affine_grid(double least, double largest) {
  ESPALIER_CHECK(std::isfinite(least) && std::isfinite(largest) && least <= largest,
                 ValueError,
                 "affine_grid: expects finite limits in order, got ",
                 least,
                 " and ",
                 largest);
  const double low = std::min(least, 0.0);
  const double high = std::max(largest, 0.0);
  const auto scale = static_cast<float>((high - low) / 255.0);
  // Below the normal numbers 1 / scale is infinite.
  if (!(scale >= std::numeric_limits<float>::min())) return {};
  return {.scale = scale, .zero = static_cast<int32_t>(std::nearbyint(-low / scale))};
}

int64_t Int8Weight::nonzero() const {
  return static_cast<int64_t>(q.size()) - std::count(q.begin(), q.end(), int8_t{0});
}

Int8Weight quantize_weight(const Tensor& weight) {
  ESPALIER_CHECK(weight.dtype() == DType::F32 && weight.rank() >= 1 && weight.is_contiguous() &&
                     weight.layout() == Layout::Nchw,
                 TypeError,
                 "quantize_weight: expects a plain contiguous float32 weight, got ",
                 weight);
  const int64_t channels = weight.size(0);
  const int64_t row = channels == 0 ? 0 : weight.numel() / channels;
  ESPALIER_CHECK(row <= std::numeric_limits<int32_t>::max() / (2 * 255 * 127),
                 ValueError,
                 "quantize_weight: ",
                 row,
                 " weights per output channel may overflow a 32-bit sum");
  Int8Weight out{.shape = weight.shape(), .q = {}, .scale = {}, .sums = {}};
  out.q.reserve(static_cast<size_t>(weight.numel()));
  const float* w = weight.data<float>();
  for (int64_t k = 0; k < channels; ++k, w += row) {
    float largest = 0.0F;
    for (int64_t i = 0; i < row; ++i) {
      ESPALIER_CHECK(std::isfinite(w[i]),
                     ValueError,
                     "quantize_weight: channel ",
                     k,
                     " holds ",
                     static_cast<double>(w[i]));
      largest = std::max(largest, std::abs(w[i]));
    }
    const float scale = largest / 127.0F;
    const bool empty = !(scale >= std::numeric_limits<float>::min());
    const float inverse = empty ? 0.0F : 1.0F / scale;
    int32_t sum = 0;
    for (int64_t i = 0; i < row; ++i) {
      const float cut = std::clamp(w[i] * inverse, -127.0F, 127.0F);
      const auto q = static_cast<int8_t>(std::nearbyint(cut));
      out.q.push_back(q);
      sum += q;
    }
    out.scale.push_back(empty ? 1.0F : scale);
    out.sums.push_back(sum);
  }
  return out;
}

Tensor dequantize(const Int8Weight& weight) {
  Tensor out = Tensor::empty(weight.shape);
  float* values = out.data<float>();
  const size_t row = weight.scale.empty() ? 0 : weight.q.size() / weight.scale.size();
  for (size_t i = 0; i < weight.q.size(); ++i) {
    values[i] = static_cast<float>(weight.q[i]) * weight.scale[i / row];
  }
  return out;
}

}  // namespace espalier::sparse
