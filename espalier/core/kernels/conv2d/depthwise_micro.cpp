// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/kernels/conv2d/depthwise_micro.h>

#include <algorithm>
#include <array>

#include <espalier/core/simd.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "espalier/core/kernels/conv2d/depthwise_micro.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <espalier/core/kernels/conv2d/planes_store-inl.h>

HWY_BEFORE_NAMESPACE();
namespace espalier::detail::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Sixteen floats are one vector of AVX-512 and several elsewhere, with half of its registers.
constexpr bool kManyRegisters = kPlanesLanes == 16;
constexpr int64_t kPosition = kPlanesVector;  // floats of a position in lanes
constexpr int kTaps = 9;

struct Weights {
  PlanesV tap[kTaps];
  HWY_INLINE explicit Weights(const float* weight) {
    HWY_UNROLL(9)
    for (int t = 0; t < kTaps; ++t) tap[t] = hn::Set(PlanesD(), weight[t]);
  }
};

/// Pointers to rows first .. first+kRows-1 of a plane of `h` rows, `pitch` floats apart; `zeros`
/// for those outside.
template <int kRows>
HWY_INLINE std::array<const float*, kRows> rows_from(
    const float* plane, int64_t first, int64_t h, int64_t pitch, const float* zeros) {
  std::array<const float*, kRows> rows;
  for (int k = 0; k < kRows; ++k) {
    const int64_t row = first + k;
    rows[static_cast<size_t>(k)] = row < 0 || row >= h ? zeros : plane + row * pitch;
  }
  return rows;
}

/// Rows of x that kR rows of outputs meet.
template <int kR, int kStride>
inline constexpr int kReach = (kR - 1) * kStride + 3;

/// Calls body.template run<C, 0, 3>(q) for columns q .. last-1 of outputs, C neighbours at a time,
/// then half as many.
template <int kC, class Body>
HWY_INLINE void for_inner_columns(int64_t q, int64_t last, const Body& body) {
  for (; q + kC <= last; q += kC) body.template run<kC, 0, 3>(q);
  if constexpr (kC > 1) for_inner_columns<kC / 2>(q, last, body);
}

/// Calls body.template run<C, S0, S1>(q) for all columns of outputs: at most kC neighbours from q
/// on, whose taps S0 .. S1-1 of a row lie inside of x.
template <int kC, int kStride, class Body>
HWY_INLINE void for_columns(int64_t q_count, int64_t w, const Body& body) {
  if (w == 1) return body.template run<1, 1, 2>(0);
  body.template run<1, 1, 3>(0);
  // Outputs whose last tap lies inside; at most one is left.
  const int64_t inside = std::min(q_count, (w - 2) / kStride + 1);
  for_inner_columns<kC>(1, inside, body);
  if (inside < q_count) body.template run<1, 0, 2>(inside);
}

/// One row of outputs: several would be fewer loads, but with as many streams of stores memory gave
/// 17 GB/s instead of 23 (Zen 4, 96 channels of 32x32, 64 samples).
template <int kStride>
struct ForwardRow {
  const DepthwiseJob& job;
  const float* x;       // the first row inside of the plane
  const float* weight;  // its kernel row
  int64_t rows;         // of them inside
  int64_t pitch;        // of x
  int64_t at;           // in y
  bool plain;

  template <int kC, int kS0, int kS1>
  HWY_INLINE void run(int64_t q) const {
    const PlanesD d;
    PlanesV acc[kC];
    HWY_UNROLL(8)
    for (int c = 0; c < kC; ++c) acc[c] = hn::Set(d, job.start);
    const float* HWY_RESTRICT row = x + (q * kStride - 1) * kPosition;
    const float* HWY_RESTRICT w = weight;
    for (int64_t k = 0; k < rows; ++k, row += pitch, w += 3) {
      const PlanesV taps[3] = {hn::Set(d, w[0]), hn::Set(d, w[1]), hn::Set(d, w[2])};
      HWY_UNROLL(17)
      for (int col = kS0; col < (kC - 1) * kStride + kS1; ++col) {
        const PlanesV xv = hn::LoadU(d, row + col * kPosition);
        HWY_UNROLL(8)
        for (int c = 0; c < kC; ++c) {
          const int s = col - c * kStride;
          if (s >= 0 && s <= 2) acc[c] = hn::MulAdd(taps[s], xv, acc[c]);
        }
      }
    }
    const PlanesStore to{job.y, job.residual, job.limits, job.factor};
    HWY_UNROLL(8)
    for (int c = 0; c < kC; ++c) {
      const int64_t place = at + (q + c) * kPosition;
      if (plain) {
        hn::StoreU(acc[c], d, job.y + place);
      } else {
        to.put(acc[c], place, kPlanesLanes);
      }
    }
  }
};

bool is_plain(const DepthwiseJob& job) {
  return job.factor == 1.0f && job.residual == nullptr && job.limits.low == PlanesLimits().low &&
         job.limits.high == PlanesLimits().high;
}

template <int kStride>
void forward_plane(const DepthwiseJob& job) {
  constexpr int kC = kManyRegisters ? 8 : 4;
  const bool plain = is_plain(job);
  const int64_t pitch = job.w * kPosition;
  for (int64_t i = 0; i < job.p; ++i) {
    const int64_t above = i * kStride - 1;
    const int64_t first = std::max<int64_t>(0, above);
    const int64_t last = std::min(job.h, above + 3);
    for (int64_t lane = 0; lane < kPosition; lane += kPlanesLanes) {
      const ForwardRow<kStride> row{job,
                                    job.x + first * pitch + lane,
                                    job.weight + (first - above) * 3,
                                    last - first,
                                    pitch,
                                    i * job.q * kPosition + lane,
                                    plain};
      for_columns<kC, kStride>(job.q, job.w, row);
    }
  }
}

void lanes(const DepthwiseJob& job) {
  job.stride == 1 ? forward_plane<1>(job) : forward_plane<2>(job);
}

// Each dy meets the four dx around which stride 2 put it.
void lanes_data(const DepthwiseDataJob& job) {
  const PlanesD d;
  const Weights w(job.weight);
  for (int64_t i = 0; i < job.p; ++i) {
    for (int64_t lane = 0; lane < kPosition; lane += kPlanesLanes) {
      const float* HWY_RESTRICT above = job.dy + i * job.q * kPosition + lane;
      const float* HWY_RESTRICT below =
          i + 1 < job.p ? above + job.q * kPosition : job.zeros + lane;
      float* HWY_RESTRICT even = job.dx + 2 * i * job.w * kPosition + lane;
      const bool has_odd = 2 * i + 1 < job.h;
      float* HWY_RESTRICT odd = even + job.w * kPosition;
      PlanesV a = hn::LoadU(d, above);
      PlanesV c = hn::LoadU(d, below);
      for (int64_t j = 0; j < job.q; ++j) {
        const bool more = j + 1 < job.q;
        const PlanesV b = more ? hn::LoadU(d, above + (j + 1) * kPosition) : hn::Zero(d);
        const PlanesV e = more ? hn::LoadU(d, below + (j + 1) * kPosition) : hn::Zero(d);
        const int64_t at = 2 * j * kPosition;
        const bool right = 2 * j + 1 < job.w;
        hn::StoreU(hn::Mul(w.tap[4], a), d, even + at);
        if (right) {
          hn::StoreU(hn::MulAdd(w.tap[3], b, hn::Mul(w.tap[5], a)), d, even + at + kPosition);
        }
        if (has_odd) {
          hn::StoreU(hn::MulAdd(w.tap[1], c, hn::Mul(w.tap[7], a)), d, odd + at);
        }
        if (has_odd && right) {
          const PlanesV from_above = hn::MulAdd(w.tap[6], b, hn::Mul(w.tap[8], a));
          const PlanesV from_below = hn::MulAdd(w.tap[0], e, hn::Mul(w.tap[2], c));
          hn::StoreU(hn::Add(from_above, from_below), d, odd + at + kPosition);
        }
        a = b;
        c = e;
      }
    }
  }
}

template <int kStride>
struct WeightRow {
  std::array<const float*, 3> x;
  const float* dy;
  PlanesV* sums;

  template <int kC, int kS0, int kS1>
  HWY_INLINE void run(int64_t q) const {
    const PlanesD d;
    PlanesV g[kC];
    HWY_UNROLL(2)
    for (int c = 0; c < kC; ++c) g[c] = hn::LoadU(d, dy + (q + c) * kPosition);
    HWY_UNROLL(3)
    for (int k = 0; k < 3; ++k) {
      const float* HWY_RESTRICT row = x[static_cast<size_t>(k)] + (q * kStride - 1) * kPosition;
      HWY_UNROLL(5)
      for (int col = kS0; col < (kC - 1) * kStride + kS1; ++col) {
        const PlanesV xv = hn::LoadU(d, row + col * kPosition);
        HWY_UNROLL(2)
        for (int c = 0; c < kC; ++c) {
          const int s = col - c * kStride;
          if (s >= 0 && s <= 2) sums[k * 3 + s] = hn::MulAdd(g[c], xv, sums[k * 3 + s]);
        }
      }
    }
  }
};

template <int kStride>
void weight_of(const DepthwiseWeightJob& job) {
  const PlanesD d;
  for (int64_t lane = 0; lane < kPosition; lane += kPlanesLanes) {
    PlanesV sums[kTaps];
    HWY_UNROLL(9)
    for (int t = 0; t < kTaps; ++t) sums[t] = hn::LoadU(d, job.sums + t * kPosition + lane);
    for (int64_t i = job.first; i < job.last; ++i) {
      const WeightRow<kStride> row{
          rows_from<3>(job.x + lane, i * kStride - 1, job.h, job.w * kPosition, job.zeros),
          job.dy + i * job.q * kPosition + lane,
          sums};
      for_columns<2, kStride>(job.q, job.w, row);
    }
    HWY_UNROLL(9)
    for (int t = 0; t < kTaps; ++t) hn::StoreU(sums[t], d, job.sums + t * kPosition + lane);
  }
}

void lanes_weight(const DepthwiseWeightJob& job) {
  job.stride == 1 ? weight_of<1>(job) : weight_of<2>(job);
}

/// The inputs of neighbouring outputs through the columns of the kernel. The outer two are the
/// inner ones moved by a lane: loads that begin anywhere cost four times as much on Zen 4.
struct Columns {
  PlanesV left, middle, right;
};
struct Shifts {
  int32_t up[kPlanesLanes], down[kPlanesLanes];
  constexpr Shifts() : up(), down() {
    for (int64_t i = 0; i < kPlanesLanes; ++i) {
      up[i] = static_cast<int32_t>(i == 0 ? 0 : i - 1);
      down[i] = static_cast<int32_t>(i + 1 == kPlanesLanes ? i : i + 1);
    }
  }
};
alignas(64) constexpr Shifts kShifts;
/// v moved up by a lane, behind `first`.
template <class Indices>
HWY_INLINE PlanesV moved_up(PlanesV v, Indices up, float first) {
  const PlanesD d;
  return hn::IfThenElse(hn::FirstN(d, 1), hn::Set(d, first), hn::TableLookupLanes(v, up));
}
template <int kStride, class Indices>
HWY_INLINE Columns columns_at(const float* HWY_RESTRICT row, Indices up, Indices down) {
  const PlanesD d;
  const PlanesV first = hn::LoadU(d, row);
  if constexpr (kStride == 1) {
    const PlanesV behind = hn::TableLookupLanes(first, down);
    const auto all_but_last = hn::FirstN(d, static_cast<size_t>(kPlanesLanes - 1));
    return {moved_up(first, up, row[-1]),
            first,
            hn::IfThenElse(all_but_last, behind, hn::Set(d, row[kPlanesLanes]))};
  } else {
#if HWY_TARGET == HWY_SCALAR
    return {hn::LoadU(d, row - 1), first, hn::LoadU(d, row + 1)};
#else
    const PlanesV second = hn::LoadU(d, row + kPlanesLanes);
    const PlanesV odd = hn::ConcatOdd(d, second, first);
    return {moved_up(odd, up, row[-1]), hn::ConcatEven(d, second, first), odd};
#endif
  }
}

/// Stores the results of `count` positions at `at`.
HWY_INLINE void put_row(const PlanesStore& to, PlanesV v, int64_t at, int64_t count) {
#if HWY_TARGET <= HWY_AVX2
  // Here masked stores leave the rest of memory alone, also for other threads.
  if (count < kPlanesLanes) {
    const PlanesD d;
    const auto here = hn::FirstN(d, static_cast<size_t>(count));
    v = hn::Mul(v, hn::Set(d, to.factor));
    if (to.residual != nullptr) v = hn::Add(v, hn::MaskedLoad(here, d, to.residual + at));
    return hn::BlendedStore(to.finished(v), here, d, to.y + at);
  }
#endif
  to.put(v, at, count);
}

template <int kR, int kStride>
HWY_INLINE int64_t planes_rows(const DepthwiseJob& job, const Weights& w, int64_t row) {
  const PlanesD d;
  const PlanesStore to{job.y, job.residual, job.limits, job.factor};
  const auto up = hn::SetTableIndices(d, kShifts.up);
  const auto down = hn::SetTableIndices(d, kShifts.down);
  const int64_t columns = job.q;
  const int64_t right_end = job.w > 1 ? (job.w - 2) / kStride + 1 : 0;
  for (; row + kR <= job.p; row += kR) {
    const auto x =
        rows_from<kReach<kR, kStride>>(job.x, row * kStride - 1, job.h, job.w, job.zeros);
    for (int64_t q = 0; q < columns; q += kPlanesLanes) {
      // Sums by the kernel's columns; what a side's took from beyond the row is dropped as a whole.
      PlanesV left[kR], middle[kR], right[kR];
      HWY_UNROLL(4)
      for (int r = 0; r < kR; ++r) {
        left[r] = right[r] = hn::Zero(d);
        middle[r] = hn::Set(d, job.start);
      }
      HWY_UNROLL(6)
      for (int k = 0; k < kReach<kR, kStride>; ++k) {
        const Columns c = columns_at<kStride>(x[static_cast<size_t>(k)] + q * kStride, up, down);
        HWY_UNROLL(4)
        for (int r = 0; r < kR; ++r) {
          const int tap = (k - r * kStride) * 3;
          if (tap < 0 || tap > 6) continue;
          left[r] = hn::MulAdd(w.tap[tap], c.left, left[r]);
          middle[r] = hn::MulAdd(w.tap[tap + 1], c.middle, middle[r]);
          right[r] = hn::MulAdd(w.tap[tap + 2], c.right, right[r]);
        }
      }
      const PlanesV place = hn::Iota(d, static_cast<float>(q));
      const auto has_left = hn::Gt(place, hn::Zero(d));
      const auto has_right = hn::Lt(place, hn::Set(d, static_cast<float>(right_end)));
      HWY_UNROLL(4)
      for (int r = 0; r < kR; ++r) {
        const PlanesV sides =
            hn::Add(hn::IfThenElseZero(has_left, left[r]), hn::IfThenElseZero(has_right, right[r]));
        put_row(to, hn::Add(middle[r], sides), (row + r) * columns + q, columns - q);
      }
    }
  }
  return row;
}

void planes(const DepthwiseJob& job) {
  const Weights w(job.weight);
  int64_t row = 0;
  if (job.stride == 1) {
    if constexpr (kManyRegisters) row = planes_rows<4, 1>(job, w, row);
    row = planes_rows<2, 1>(job, w, row);
    planes_rows<1, 1>(job, w, row);
  } else {
    row = planes_rows<2, 2>(job, w, row);
    planes_rows<1, 2>(job, w, row);
  }
}

}  // namespace espalier::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier::detail {

HWY_EXPORT(lanes);
HWY_EXPORT(lanes_data);
HWY_EXPORT(lanes_weight);
HWY_EXPORT(planes);

DepthwiseKernels depthwise_kernels() {
  simd_target();  // chooses the target at the first call
  return {HWY_DYNAMIC_DISPATCH(lanes),
          HWY_DYNAMIC_DISPATCH(lanes_data),
          HWY_DYNAMIC_DISPATCH(lanes_weight),
          HWY_DYNAMIC_DISPATCH(planes)};
}

}  // namespace espalier::detail
#endif
