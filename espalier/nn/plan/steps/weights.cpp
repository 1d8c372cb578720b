// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/plan/steps/weights.h>

#include <vector>

namespace espalier::nn::plan {
namespace {

constexpr uint8_t kMore = 255;

}  // namespace

PackedNonzeros pack_nonzeros(const Tensor& weight) {
  std::vector<float> values;
  std::vector<uint8_t> gaps;
  int64_t next = 0;  // the position that a gap of 0 means
  const float* w = weight.data<float>();
  for (int64_t i = 0; i < weight.numel(); ++i) {
    if (w[i] == 0.0f) continue;
    for (; i - next >= kMore; next += kMore) gaps.push_back(kMore);
    gaps.push_back(static_cast<uint8_t>(i - next));
    values.push_back(w[i]);
    next = i + 1;
  }
  return {Tensor::from({static_cast<int64_t>(values.size())}, values),
          Tensor::from({static_cast<int64_t>(gaps.size())}, gaps)};
}

Tensor unpack_nonzeros(const PackedNonzeros& packed, const Shape& shape) {
  ESPALIER_CHECK(packed.values.dtype() == DType::F32 && packed.gaps.dtype() == DType::U8,
                 ValueError,
                 "plan: nonzeros are float32 values and uint8 gaps, got ",
                 packed.values,
                 " and ",
                 packed.gaps);
  Tensor weight = Tensor::zeros(shape);
  const int64_t count = packed.values.numel();
  int64_t used = 0;
  int64_t next = 0;
  bool ended = true;  // no gap is half read
  for (int64_t g = 0; g < packed.gaps.numel(); ++g) {
    const uint8_t gap = packed.gaps.data<uint8_t>()[g];
    next += gap;
    ended = gap != kMore;
    if (!ended) continue;
    ESPALIER_CHECK(next < weight.numel() && used < count,
                   ValueError,
                   "plan: the gaps of a weight ",
                   shape,
                   " reach outside of it or outnumber its ",
                   count,
                   " values");
    weight.data<float>()[next++] = packed.values.data<float>()[used++];
  }
  ESPALIER_CHECK(ended && used == count,
                 ValueError,
                 "plan: a weight ",
                 shape,
                 " has ",
                 count,
                 " nonzeros but gaps for ",
                 used);
  return weight;
}

}  // namespace espalier::nn::plan
