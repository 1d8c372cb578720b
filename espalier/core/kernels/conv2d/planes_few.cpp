// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/kernels/conv2d/planes_few.h>

#include <algorithm>
#include <utility>

#include <espalier/core/kernels/bfloat16.h>
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

HWY_INLINE PlanesV weights_at(const float* at) {
  return hn::Load(PlanesD(), at);
}

HWY_INLINE PlanesV weights_at(const uint16_t* at) {
  const hn::RebindToUnsigned<PlanesD> du;
  const hn::Rebind<uint16_t, PlanesD> dh;
  return hn::BitCast(PlanesD(), hn::ShiftLeft<16>(hn::PromoteTo(du, hn::Load(dh, at))));
}

/// kP positions; entries go to kE chains in turns, which hide the latency of an FMA.
template <int kP, class T>
HWY_INLINE void few_positions(const FewJob& job, const T* weights, int64_t lane) {
  constexpr int kE = kP <= 4 ? 4 : 1;
  const PlanesD d;
  PlanesV acc[kE][kP];
  HWY_UNROLL(4)
  for (int e = 0; e < kE; ++e) {
    HWY_UNROLL(16)
    for (int p = 0; p < kP; ++p) acc[e][p] = hn::Zero(d);
  }
  const T* HWY_RESTRICT w = weights + lane;
  const float* HWY_RESTRICT x = job.x;
  const auto add = [&](int64_t i, PlanesV(&sums)[kP]) HWY_ATTR {
    const PlanesV wv = weights_at(w + i * kPlanesVector);
    HWY_UNROLL(16)
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
  HWY_UNROLL(16)
  for (int p = 0; p < kP; ++p) {
    PlanesV sum = acc[0][p];
    if constexpr (kE == 4) {
      sum = hn::Add(hn::Add(acc[0][p], acc[1][p]), hn::Add(acc[2][p], acc[3][p]));
    }
    hn::Store(sum, d, job.sums + p * kPlanesVector + lane);
  }
}

template <class T>
void few_of(const FewJob& job, const T* weights) {
  for (int64_t lane = 0; lane < kPlanesVector; lane += kPlanesLanes) {
    switch (job.positions) {
      case 1:
        few_positions<1>(job, weights, lane);
        break;
      case 2:
        few_positions<2>(job, weights, lane);
        break;
      case 3:
        few_positions<3>(job, weights, lane);
        break;
      case 4:
        few_positions<4>(job, weights, lane);
        break;
      case 8:
        few_positions<8>(job, weights, lane);
        break;
      case 12:
        few_positions<12>(job, weights, lane);
        break;
      default:
        few_positions<16>(job, weights, lane);
    }
  }
}

void few(const FewJob& job) {
  job.weights != nullptr ? few_of(job, job.weights) : few_of(job, job.bits);
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

bool FewPlanes::fits(const Conv2dShape& shape, WeightsAs as) {
  const int64_t most = as == WeightsAs::Float32 ? kFewPositions : kMostPositions;
  return shape.p * shape.q <= most && shape.options.groups == 1;
}

FewPlanes::FewPlanes(const Conv2dShape& shape, const float* weight, WeightsAs as)
    : shape_(shape),
      positions_(shape.p * shape.q),
      places_(positions_ <= kFewPositions ? positions_ : ceil_div(positions_, 4) * 4) {
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
    from.resize(static_cast<size_t>(places_), -1);
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
  if (as == WeightsAs::Float32) return;
  const Tensor wide = std::exchange(packed_, Tensor::empty({2 * packed_.numel()}, DType::U8));
  to_bfloat16(wide.data<float>(), wide.numel(), static_cast<uint16_t*>(packed_.raw()));
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
  alignas(64) float sums[kMostPositions * kPlanesVector];
  FewJob job{.weights = nullptr,
             .bits = nullptr,
             .x = scratch,
             .entries = entries_,
             .positions = places_,
             .sums = sums};
  const int64_t begin = task * entries_ * kPlanesVector;
  if (packed_.dtype() == DType::F32) {
    job.weights = packed_.data<float>() + begin;
  } else {
    job.bits = static_cast<const uint16_t*>(packed_.raw()) + begin;
  }
  kernel_(job);
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
