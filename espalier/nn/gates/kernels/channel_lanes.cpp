// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/gates/kernels/channel_lanes.h>

#include <algorithm>
#include <cstring>

#include <espalier/core/kernels/clones.h>
#include <espalier/core/kernels/vector8.h>

namespace espalier::nn::detail {
namespace {

using V = Vector8<float>;
constexpr int64_t kHalves = kLanes / 8;  // V in a vector of lanes

ESPALIER_INLINE void add_magnitude(const V& x, V& sum) {
  sum += x < V{} ? -x : x;
}

// Channels whose sums run side by side, to hide latencies.
constexpr int64_t kSums = 4;

/// g (K,16) = max(rho + phi s, 0) of `N` channels from k on.
template <int64_t N>
ESPALIER_INLINE void some_saliencies(
    const float* phi, const float* rho, const V* s, int64_t k, int64_t in, V* g) {
  V sums[N * kHalves];
  for (int64_t n = 0; n < N; ++n) {
    for (int64_t half = 0; half < kHalves; ++half) sums[n * kHalves + half] = V{} + rho[k + n];
  }
  for (int64_t c = 0; c < in; ++c) {
    for (int64_t n = 0; n < N; ++n) {
      const float factor = phi[(k + n) * in + c];
      for (int64_t half = 0; half < kHalves; ++half) {
        sums[n * kHalves + half] += s[c * kHalves + half] * factor;
      }
    }
  }
  // A NaN stays, so that it is seen; a negative zero does not.
  for (int64_t i = 0; i < N * kHalves; ++i) g[k * kHalves + i] = sums[i] <= V{} ? V{} : sums[i];
}

ESPALIER_CLONES void saliencies(
    const float* phi, const float* rho, const float* means, int64_t out, int64_t in, float* g) {
  const V* s = reinterpret_cast<const V*>(means);
  V* vg = reinterpret_cast<V*>(g);
  int64_t k = 0;
  for (; k + kSums <= out; k += kSums) some_saliencies<kSums>(phi, rho, s, k, in, vg);
  for (; k < out; ++k) some_saliencies<1>(phi, rho, s, k, in, vg);
}

using I = Vector8<int32_t>;

/// The bits of |g|. Numbers that are not negative are ordered as their bits are, NaNs behind all
/// others.
ESPALIER_INLINE void take_order(const V& g, I& order) {
  std::memcpy(&order, &g, sizeof(order));
  order &= 0x7fffffff;
}

/// Of each lane of g, `out` vectors kHalves apart, the `kept` largest stay, of equal ones the
/// first; the others become zeros. The last one that stays is found bit by bit, in all lanes at
/// once.
ESPALIER_CLONES void keep_largest(int64_t out, int64_t kept, V* g) {
  const I wanted = I{} + static_cast<int32_t>(kept);
  I order;
  I last = {};
  for (int bit = 30; bit >= 0; --bit) {
    const I tried = last | (1 << bit);
    I count = {};
    for (int64_t k = 0; k < out; ++k) {
      take_order(g[k * kHalves], order);
      count -= order >= tried;
    }
    last = count >= wanted ? tried : last;
  }
  I left = wanted;  // of those that equal the last
  for (int64_t k = 0; k < out; ++k) {
    take_order(g[k * kHalves], order);
    left += order > last;
  }
  for (int64_t k = 0; k < out; ++k) {
    take_order(g[k * kHalves], order);
    const I equal = order == last;
    const I stays = (order > last) | (equal & (left > 0));
    left += equal;
    g[k * kHalves] = stays ? g[k * kHalves] : V{};
  }
}

}  // namespace

ESPALIER_CLONES void magnitude_means(const float* x, int64_t plane, float* means) {
  const V* vx = reinterpret_cast<const V*>(x);
  V sums[kSums * kHalves] = {};
  int64_t i = 0;
  for (; i + kSums <= plane; i += kSums) {
    for (int64_t j = 0; j < kSums * kHalves; ++j) add_magnitude(vx[i * kHalves + j], sums[j]);
  }
  for (int64_t j = 0; i * kHalves + j < plane * kHalves; ++j) {
    add_magnitude(vx[i * kHalves + j], sums[j]);
  }
  const auto size = static_cast<float>(plane);
  V* out = reinterpret_cast<V*>(means);
  for (int64_t half = 0; half < kHalves; ++half) {
    out[half] = ((sums[half] + sums[2 + half]) + (sums[4 + half] + sums[6 + half])) / size;
  }
}

void decide_channels(const ChannelGateParameters& gate,
                     const float* means,
                     int64_t samples,
                     float* pi) {
  const int64_t out = gate.phi.size(0);
  saliencies(gate.phi.data<float>(), gate.rho.data<float>(), means, out, gate.phi.size(1), pi);
  for (int64_t half = 0; half < kHalves; ++half) {
    keep_largest(out, gate.kept, reinterpret_cast<V*>(pi) + half);
  }
  for (int64_t k = 0; k < out; ++k) {
    std::fill(pi + k * kLanes + samples, pi + (k + 1) * kLanes, 0.0F);
  }
}

int64_t list_channels(const float* values, int64_t samples, int64_t channels, int32_t* list) {
  int64_t count = 0;
  for (int64_t c = 0; c < channels; ++c) {
    bool any = false;
    for (int64_t first = 0; first < samples && !any; first += kLanes) {
      const float* at = values + (first * channels + c * kLanes);
      const int64_t lanes = std::min(kLanes, samples - first);
      any = std::any_of(at, at + lanes, [](float v) { return v != 0.0F; });
    }
    if (any) list[count++] = static_cast<int32_t>(c);
  }
  return count;
}

}  // namespace espalier::nn::detail
