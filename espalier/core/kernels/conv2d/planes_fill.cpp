// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/kernels/conv2d/planes_fill.h>

#include <espalier/core/kernels/conv2d/padded.h>
#include <espalier/core/kernels/conv2d/planes_input.h>
#include <espalier/core/simd.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "espalier/core/kernels/conv2d/planes_fill.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <espalier/core/kernels/conv2d/planes_store-inl.h>

HWY_BEFORE_NAMESPACE();
namespace espalier::detail::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// One copy as a line: the plane from `shift` on, under a mask.
HWY_INLINE void fill_line(
    const float* x, const uint32_t* mask, int64_t size, float* out, const float* end) {
  const PlanesD d;
  const hn::RebindToUnsigned<PlanesD> u;
  int64_t i = 0;
  for (; i < size && out + i + kPlanesLanes <= end; i += kPlanesLanes) {
    hn::StoreU(hn::And(hn::LoadU(d, x + i), hn::BitCast(d, hn::LoadU(u, mask + i))), d, out + i);
  }
  for (; i < size; ++i) out[i] = mask[i] != 0 ? x[i] : 0.0f;
}

/// out[i] = x[i * kStep] where the mask has all bits, else 0.
template <int kStep>
HWY_INLINE void fill_row(
    const float* x, const uint32_t* mask, int64_t pitch, float* out, const float* end) {
  const PlanesD d;
  const hn::RebindToUnsigned<PlanesD> u;
  int64_t i = 0;
  for (; i < pitch && out + i + kPlanesLanes <= end; i += kPlanesLanes) {
    PlanesV v;
    if constexpr (kStep == 1) {
      v = hn::LoadU(d, x + i);
    } else {
      PlanesV odd;
      hn::LoadInterleaved2(d, x + 2 * i, v, odd);
    }
    hn::StoreU(hn::And(v, hn::BitCast(d, hn::LoadU(u, mask + i))), d, out + i);
  }
  for (; i < pitch; ++i) out[i] = mask[i] != 0 ? x[i * kStep] : 0.0f;
}

/// One copy row by row; `mask` tells the columns that x has.
void fill_copy(const PlanesFill& f,
               const PlanesCopy& copy,
               const uint32_t* mask,
               const float* x,
               float* out,
               const float* end) {
  for (int64_t j = 0; j < copy.rows; ++j, out += f.pitch) {
    const int64_t row = (j + copy.first) * f.step.h + copy.phase;
    if (row < 0 || row >= f.plane.h) {
      for (int64_t i = 0; i < f.pitch; ++i) out[i] = 0.0f;
      continue;
    }
    const float* from = x + row * f.plane.w + copy.left;
    if (f.near && f.step.w == 1) {
      fill_row<1>(from, mask, f.pitch, out, end);
    } else if (f.near && f.step.w == 2) {
      fill_row<2>(from, mask, f.pitch, out, end);
    } else {
      for (int64_t i = 0; i < f.pitch; ++i) out[i] = mask[i] != 0 ? from[i * f.step.w] : 0.0f;
    }
  }
}

void fill_channel(const PlanesFill& f, const float* x, float* out) {
  float* const end = out + f.channel_stride;
  for (size_t i = 0; i < f.copies.size(); ++i) {
    const PlanesCopy& copy = f.copies[i];
    if (!f.lines) {
      fill_copy(f, copy, f.masks[i].data(), x, out + copy.at, end);
    } else {
      fill_line(x + copy.first * f.plane.w + copy.left,
                f.masks[i].data(),
                copy.rows * f.pitch,
                out + copy.at,
                end);
    }
  }
}

}  // namespace espalier::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier::detail {

HWY_EXPORT(fill_channel);

PlanesFill::PlanesFill(std::vector<PlanesCopy> copies_to_make,
                       const Pair& plane_of_x,
                       const Pair& step_in_x,
                       int64_t pitch_of_copies,
                       int64_t stride)
    : copies(std::move(copies_to_make)),
      plane(plane_of_x),
      step(step_in_x),
      pitch(pitch_of_copies),
      channel_stride(stride) {
  simd_target();  // chooses the target at the first call
  kernel_ = HWY_DYNAMIC_DISPATCH(fill_channel);
  const auto whole = [](int64_t size) { return ceil_div(size, kPlanesVector) * kPlanesVector; };
  near = true;
  lines = step == Pair(1) && pitch == plane.w;
  for (const PlanesCopy& copy : copies) {
    near = near && copy.left >= -kPlanesSlack &&
           copy.left + whole(pitch) * step.w - plane.w <= kPlanesSlack;
    const int64_t shift = copy.first * plane.w + copy.left;
    lines = lines && shift >= -kPlanesSlack &&
            shift + whole(copy.rows * pitch) - plane.h * plane.w <= kPlanesSlack;
  }
  for (const PlanesCopy& copy : copies) {
    const int64_t size = lines ? copy.rows * pitch : pitch;
    std::vector<uint32_t>& mask = masks.emplace_back(static_cast<size_t>(whole(size)));
    for (int64_t i = 0; i < size; ++i) {
      const int64_t row = i / pitch + copy.first;
      const int64_t col = i % pitch * step.w + copy.left;
      const bool inside = (!lines || (row >= 0 && row < plane.h)) && col >= 0 && col < plane.w;
      mask[static_cast<size_t>(i)] = inside ? ~uint32_t{0} : 0;
    }
  }
}

void PlanesFill::run(const float* x, int64_t first, int64_t last, float* out) const {
  for (int64_t c = first; c < last; ++c) {
    kernel_(*this, x + c * plane.h * plane.w, out + c * channel_stride);
  }
}

}  // namespace espalier::detail
#endif
