// SPDX-License-Identifier: Apache-2.0
#include <espalier/sparse/kernels/int8_micro.h>

#include <algorithm>
#include <cmath>
#include <type_traits>

#include <espalier/core/kernels/clones.h>
#include <espalier/core/simd.h>

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define ESPALIER_INT8_VNNI 1
// GCC 12 warns of its own header's "undefined" vectors (GCC bug 105593).
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#define ESPALIER_VNNI_TARGET \
  __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma")))
#endif

namespace espalier::sparse::detail {
namespace {

constexpr int kLanes = 16;

template <int P>
ESPALIER_INLINE void tile_portable(const Int8Tile& t) {
  int32_t acc[P][kLanes];
  for (int p = 0; p < P; ++p) std::fill_n(acc[p], kLanes, t.start);
  for (int32_t b = 0; b < t.count; ++b) {
    const auto packed = static_cast<uint32_t>(t.weights[b]);
    const int32_t w0 = static_cast<int8_t>(packed);
    const int32_t w1 = static_cast<int8_t>(packed >> 8);
    const int32_t w2 = static_cast<int8_t>(packed >> 16);
    const int32_t w3 = static_cast<int8_t>(packed >> 24);
    for (int p = 0; p < P; ++p) {
      const uint8_t* x = t.in + p * t.step + t.offsets[b];
      for (int l = 0; l < kLanes; ++l) {
        acc[p][l] += w0 * x[4 * l] + w1 * x[4 * l + 1] + w2 * x[4 * l + 2] + w3 * x[4 * l + 3];
      }
    }
  }
  for (int p = 0; p < P; ++p) {
    for (int l = 0; l < kLanes; ++l) {
      t.out[p * kLanes + l] =
          l < t.lanes ? std::fma(static_cast<float>(acc[p][l]), t.scale, t.bias) : 0.0F;
    }
  }
}

#ifdef ESPALIER_INT8_VNNI
template <int P>
ESPALIER_VNNI_TARGET void tile_vnni(const Int8Tile& t) {
  __m512i acc[P];
  for (int p = 0; p < P; ++p) acc[p] = _mm512_set1_epi32(t.start);
  for (int32_t b = 0; b < t.count; ++b) {
    const __m512i w = _mm512_set1_epi32(t.weights[b]);
    const uint8_t* x = t.in + t.offsets[b];
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) {
      acc[p] = _mm512_dpbusd_epi32(acc[p], _mm512_loadu_si512(x + p * t.step), w);
    }
  }
  const auto exist = static_cast<__mmask16>((1U << t.lanes) - 1U);
  const __m512 scale = _mm512_set1_ps(t.scale);
  const __m512 bias = _mm512_set1_ps(t.bias);
  for (int p = 0; p < P; ++p) {
    const __m512 y = _mm512_maskz_fmadd_ps(exist, _mm512_cvtepi32_ps(acc[p]), scale, bias);
    _mm512_storeu_ps(t.out + p * kLanes, y);
  }
}

ESPALIER_VNNI_TARGET void quantize_row_vnni(const float* in,
                                            int64_t channel_stride,
                                            int channels,
                                            int64_t width,
                                            float inverse_scale,
                                            int32_t zero,
                                            uint8_t* out) {
  const __m512 inverse = _mm512_set1_ps(inverse_scale);
  const __m512 low = _mm512_set1_ps(static_cast<float>(-zero));
  const __m512 high = _mm512_set1_ps(static_cast<float>(255 - zero));
  const __m512i shift = _mm512_set1_epi32(zero);
  for (int64_t p = 0; p < width; ++p) {
    __m512i packed = _mm512_setzero_si512();
    for (int c = 0; c < channels; ++c) {
      const __m512 x = _mm512_loadu_ps(in + c * channel_stride + p * kLanes);
      const __m512 cut = _mm512_min_ps(_mm512_max_ps(_mm512_mul_ps(x, inverse), low), high);
      const __m512i q = _mm512_add_epi32(_mm512_cvtps_epi32(cut), shift);
      packed = _mm512_or_si512(packed, _mm512_slli_epi32(q, static_cast<unsigned>(8 * c)));
    }
    _mm512_storeu_si512(out + p * kVectorBytes, packed);
  }
}
#endif

// Positions 1..8 as numbers that the compiler knows.
template <class F>
void with_positions(int positions, F f) {
  switch (positions) {
    case 1:
      return f(std::integral_constant<int, 1>());
    case 2:
      return f(std::integral_constant<int, 2>());
    case 3:
      return f(std::integral_constant<int, 3>());
    case 4:
      return f(std::integral_constant<int, 4>());
    case 5:
      return f(std::integral_constant<int, 5>());
    case 6:
      return f(std::integral_constant<int, 6>());
    case 7:
      return f(std::integral_constant<int, 7>());
    default:
      return f(std::integral_constant<int, 8>());
  }
}

}  // namespace

bool has_vnni() {
#ifdef ESPALIER_INT8_VNNI
  static const bool machine = __builtin_cpu_supports("avx512vnni") != 0 &&
                              __builtin_cpu_supports("avx512vl") != 0 &&
                              __builtin_cpu_supports("avx512dq") != 0;
  return machine && simd_target() == "avx512";
#else
  return false;
#endif
}

ESPALIER_CLONES void int8_tile_portable(const Int8Tile& tile, int positions) {
  // One position at a time: with more, plain loops keep nothing in registers.
  Int8Tile one = tile;
  for (int p = 0; p < positions; ++p, one.in += tile.step, one.out += kLanes) tile_portable<1>(one);
}

ESPALIER_CLONES void quantize_row_portable(const float* in,
                                           int64_t channel_stride,
                                           int channels,
                                           int64_t width,
                                           float inverse_scale,
                                           int32_t zero,
                                           uint8_t* out) {
  const auto low = static_cast<float>(-zero);
  const auto high = static_cast<float>(255 - zero);
  for (int64_t p = 0; p < width; ++p) {
    for (int l = 0; l < kLanes; ++l) {
      uint32_t packed = 0;
      for (int c = 0; c < channels; ++c) {
        const float x = in[c * channel_stride + p * kLanes + l] * inverse_scale;
        const float cut = std::min(std::max(low, x), high);
        packed |= static_cast<uint32_t>(static_cast<int32_t>(std::nearbyint(cut)) + zero)
                  << (8 * c);
      }
      for (int c = 0; c < 4; ++c) {
        out[p * kVectorBytes + 4 * l + c] = static_cast<uint8_t>(packed >> (8 * c));
      }
    }
  }
}

void int8_tile(const Int8Tile& tile, int positions) {
#ifdef ESPALIER_INT8_VNNI
  if (has_vnni()) {
    with_positions(positions, [&](auto p) { tile_vnni<decltype(p)::value>(tile); });
    return;
  }
#endif
  int8_tile_portable(tile, positions);
}

void quantize_row(const float* in,
                  int64_t channel_stride,
                  int channels,
                  int64_t width,
                  float inverse_scale,
                  int32_t zero,
                  uint8_t* out) {
#ifdef ESPALIER_INT8_VNNI
  if (has_vnni()) {
    return quantize_row_vnni(in, channel_stride, channels, width, inverse_scale, zero, out);
  }
#endif
  quantize_row_portable(in, channel_stride, channels, width, inverse_scale, zero, out);
}

}  // namespace espalier::sparse::detail
