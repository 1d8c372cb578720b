// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/kernels/conv2d/planes_few.h>

#include <algorithm>

#include <espalier/core/kernels/conv2d/padded.h>
#include <espalier/core/simd.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "espalier/core/kernels/conv2d/planes_few.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <espalier/core/kernels/conv2d/planes_store-inl.h>

HWY_BEFORE_NAMESPACE();
namespace espalier::detail::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// kP positions; entries go to kE chains in turns, which hide the latency of an FMA.
template <int kP>
HWY_INLINE void few_positions(const FewJob& job, int64_t lane) {
  constexpr int kE = 4;
  const PlanesD d;
  PlanesV acc[kE][kP];
  HWY_UNROLL(4)
  for (int e = 0; e < kE; ++e) {
    HWY_UNROLL(4)
    for (int p = 0; p < kP; ++p) acc[e][p] = hn::Zero(d);
  }
  const float* HWY_RESTRICT w = job.weights + lane;
  const float* HWY_RESTRICT x = job.x;
  const auto add = [&](int64_t i, PlanesV(&sums)[kP]) HWY_ATTR {
    const PlanesV wv = hn::Load(d, w + i * kPlanesVector);
    HWY_UNROLL(4)
    for (int p = 0; p < kP; ++p) {
      sums[p] = hn::MulAdd(wv, hn::Set(d, x[i * kP + p]), sums[p]);
    }
  };
  int64_t i = 0;
  for (; i + kE <= job.entries; i += kE) {
    HWY_UNROLL(4)
    for (int e = 0; e < kE; ++e) add(i + e, acc[e]);
  }
  for (; i < job.entries; ++i) add(i, acc[0]);
  HWY_UNROLL(4)
  for (int p = 0; p < kP; ++p) {
    const PlanesV sum = hn::Add(hn::Add(acc[0][p], acc[1][p]), hn::Add(acc[2][p], acc[3][p]));
    hn::Store(sum, d, job.sums + p * kPlanesVector + lane);
  }
}

void few(const FewJob& job) {
  for (int64_t lane = 0; lane < kPlanesVector; lane += kPlanesLanes) {
    switch (job.positions) {
      case 1:
        few_positions<1>(job, lane);
        break;
      case 2:
        few_positions<2>(job, lane);
        break;
      case 3:
        few_positions<3>(job, lane);
        break;
      default:
        few_positions<4>(job, lane);
    }
  }
}

}  // namespace espalier::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier::detail {

HWY_EXPORT(few);

FewFn few_kernel() {
  simd_target();  // chooses the target at the first call
  return HWY_DYNAMIC_DISPATCH(few);
}

bool FewPlanes::fits(const Conv2dShape& shape) {
  return shape.p * shape.q <= kFewPositions && shape.options.groups == 1;
}

FewPlanes::FewPlanes(const Conv2dShape& shape, const float* weight)
    : shape_(shape), positions_(shape.p * shape.q) {
  const Conv2dOptions& o = shape.options;
  std::vector<int64_t> taps;  // those that meet more than padding
  for (const Tap& tap : forward_taps(shape).taps) {
    std::vector<int32_t> from;
    for (int64_t i = 0; i < positions_; ++i) {
      const int64_t row = i / shape.q * o.stride.h + tap.dh;
      const int64_t col = i % shape.q * o.stride.w + tap.dw;
      const bool inside = row >= 0 && row < shape.h && col >= 0 && col < shape.w;
      from.push_back(inside ? static_cast<int32_t>(row * shape.w + col) : -1);
    }
    if (std::all_of(from.begin(), from.end(), [](int32_t at) { return at < 0; })) continue;
    taps.push_back(tap.index);
    sources_.insert(sources_.end(), from.begin(), from.end());
  }
  const auto tap_count = static_cast<int64_t>(taps.size());
  const int64_t area = shape.r * shape.s;
  entries_ = shape.c * tap_count;
  packed_ = Tensor::zeros({std::max<int64_t>(1, tasks() * entries_ * kPlanesVector)});
  float* packed = packed_.data<float>();
  for (int64_t k = 0; k < shape.k; ++k) {
    for (int64_t e = 0; e < entries_; ++e) {
      const int64_t tap = taps[static_cast<size_t>(e % tap_count)];
      packed[(k / kPlanesVector * entries_ + e) * kPlanesVector + k % kPlanesVector] =
          weight[(k * shape.c + e / tap_count) * area + tap];
    }
  }
}

int64_t FewPlanes::tasks() const {
  return ceil_div(shape_.k, kPlanesVector);
}

void FewPlanes::fill(const float* x, float* scratch) const {
  const int64_t plane = shape_.h * shape_.w;
  for (int64_t c = 0; c < shape_.c; ++c, x += plane) {
    for (const int32_t at : sources_) *scratch++ = at < 0 ? 0.0f : x[at];
  }
}

void FewPlanes::run(int64_t task, const PlanesOperands& operands, const float* scratch) const {
  alignas(64) float sums[kFewPositions * kPlanesVector];
  kernel_({packed_.data<float>() + task * entries_ * kPlanesVector,
           scratch,
           entries_,
           positions_,
           sums});
  const int64_t first = task * kPlanesVector;
  const int64_t last = std::min(shape_.k, first + kPlanesVector);
  for (int64_t k = first; k < last; ++k) {
    for (int64_t p = 0; p < positions_; ++p) {
      float v = sums[p * kPlanesVector + k - first];
      if (operands.bias != nullptr) v += operands.bias[k];
      if (operands.residual != nullptr) v += operands.residual[k * positions_ + p];
      // Comparisons with a NaN are false: it stays.
      v = v < operands.limits.low ? operands.limits.low : v;
      operands.y[k * positions_ + p] = v > operands.limits.high ? operands.limits.high : v;
    }
  }
}

}  // namespace espalier::detail
#endif
