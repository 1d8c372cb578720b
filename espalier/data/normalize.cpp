// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/normalize.h>

#include <algorithm>
#include <cmath>

#include <espalier/core/error.h>

namespace espalier::data {

Normalizer::Normalizer(const std::vector<float>& mean, const std::vector<float>& stddev) {
  ESPALIER_CHECK(!mean.empty() && mean.size() == stddev.size(),
                 ValueError,
                 "normalization: expects as many means as standard deviations, got ",
                 mean.size(),
                 " and ",
                 stddev.size());
  tables_.resize(mean.size());
  for (size_t c = 0; c < mean.size(); ++c) {
    ESPALIER_CHECK(std::isfinite(mean[c]) && std::isfinite(stddev[c]) && stddev[c] > 0.0f,
                   ValueError,
                   "normalization: expects a finite mean and a positive standard deviation, got ",
                   static_cast<double>(mean[c]),
                   " and ",
                   static_cast<double>(stddev[c]),
                   " for channel ",
                   c);
    for (int byte = 0; byte < 256; ++byte) {
      tables_[c][static_cast<size_t>(byte)] = static_cast<float>(
          (byte / 255.0 - static_cast<double>(mean[c])) / static_cast<double>(stddev[c]));
    }
  }
}

void Normalizer::fill(std::span<const uint8_t> images,
                      const ImageShape& shape,
                      int64_t first,
                      int64_t count,
                      Tensor& batch) const {
  const int64_t plane = shape.height * shape.width;
  const int64_t numel = shape.numel();
  ESPALIER_DCHECK(shape.channels == channels() && first % kLanes == 0);
  ESPALIER_DCHECK(count >= 1 && count <= kLanes && first + count <= batch.size(0));
  ESPALIER_DCHECK(static_cast<int64_t>(images.size()) >= count * numel);
  float* out = batch.data<float>() + first * numel;  // of block first/16, or of sample `first`
  if (batch.layout() == Layout::Nchw) {
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t c = 0; c < shape.channels; ++c) {
        const float* table = tables_[static_cast<size_t>(c)].data();
        const uint8_t* in = images.data() + i * numel + c * plane;
        float* o = out + i * numel + c * plane;
        for (int64_t p = 0; p < plane; ++p) o[p] = table[in[p]];
      }
    }
    return;
  }
  for (int64_t c = 0; c < shape.channels; ++c) {
    const float* table = tables_[static_cast<size_t>(c)].data();
    const uint8_t* in = images.data() + c * plane;
    float* o = out + c * plane * kLanes;
    if (count == kLanes) {
      for (int64_t p = 0; p < plane; ++p) {
        for (int64_t lane = 0; lane < kLanes; ++lane) o[lane] = table[in[lane * numel + p]];
        o += kLanes;
      }
    } else {
      for (int64_t p = 0; p < plane; ++p) {
        for (int64_t lane = 0; lane < count; ++lane) o[lane] = table[in[lane * numel + p]];
        std::fill(o + count, o + kLanes, 0.0f);
        o += kLanes;
      }
    }
  }
}

}  // namespace espalier::data
