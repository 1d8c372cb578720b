// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/simd.h>
#include <espalier/nn/gates/kernels/plane_loops.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "espalier/nn/gates/kernels/list_above.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace espalier::nn::detail::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// The places of the ones in each number of four bits.
alignas(16) constexpr int32_t kOnes[16][4] = {{},
                                              {0},
                                              {1},
                                              {0, 1},
                                              {2},
                                              {0, 2},
                                              {1, 2},
                                              {0, 1, 2},
                                              {3},
                                              {0, 3},
                                              {1, 3},
                                              {0, 1, 3},
                                              {2, 3},
                                              {0, 2, 3},
                                              {1, 2, 3},
                                              {0, 1, 2, 3}};

/// Without a branch for what is open: decisions can't be foretold.
int64_t list_above(const float* y, int64_t size, float least, int32_t* positions) {
  const hn::CappedTag<float, 4> d;
  const hn::RebindToSigned<decltype(d)> di;
  int64_t count = 0;
  int64_t i = 0;
  const auto limit = hn::Set(d, least);
  for (; hn::MaxLanes(d) == 4 && i + 4 <= size; i += 4) {
    uint8_t open[8] = {};
    hn::StoreMaskBits(d, hn::Ge(hn::LoadU(d, y + i), limit), open);
    const auto at = hn::Load(di, kOnes[open[0]]);
    hn::StoreU(hn::Add(at, hn::Set(di, static_cast<int32_t>(i))), di, positions + count);
    count += __builtin_popcount(open[0]);
  }
  for (; i < size; ++i) {
    positions[count] = static_cast<int32_t>(i);
    count += y[i] >= least ? 1 : 0;
  }
  return count;
}

}  // namespace espalier::nn::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier::nn::detail {

HWY_EXPORT(list_above);

int64_t list_above(const float* y, int64_t size, float least, int32_t* positions) {
  simd_target();  // chooses the target at the first call
  return HWY_DYNAMIC_DISPATCH(list_above)(y, size, least, positions);
}

}  // namespace espalier::nn::detail
#endif
