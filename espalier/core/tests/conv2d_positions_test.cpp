// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/kernels/conv2d/positions.h>

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include <espalier/core/random.h>
#include <espalier/core/simd.h>
#include <espalier/core/tensor.h>

namespace espalier {
namespace {

constexpr double kTolerance = 1e-4;

struct Case {
  Shape x;
  Shape weight;
  Conv2dOptions options;
  int64_t parts;
};

std::vector<Case> cases() {
  return {{{1, 64, 8, 8}, {64, 64, 3, 3}, {.padding = 1}, 4},
          {{1, 8, 5, 7}, {4, 8, 3, 3}, {.padding = 1}, 2},
          {{1, 6, 9, 6}, {6, 6, 3, 3}, {.stride = 2, .padding = 1}, 3},
          {{1, 4, 6, 6}, {4, 4, 3, 2}, {.padding = {2, 1}, .dilation = 2}, 4},
          {{1, 32, 4, 4}, {8, 32, 1, 1}, {}, 2},
          {{1, 3, 3, 3}, {2, 3, 2, 2}, {}, 1}};
}

Tensor uniform(const Shape& shape, uint64_t seed) {
  Tensor out = Tensor::empty(shape);
  Rng rng(seed, "positions");
  fill_uniform_(out, rng, -1.0, 1.0);
  return out;
}

/// The sum at one position over the channels that are not left out, in float64.
double expected_sum(
    const Conv2dShape& s, const Tensor& x, const Tensor& w, int64_t parts, int64_t k, int64_t p) {
  const auto& [stride, padding, dilation, groups] = s.options;
  double sum = 0.0;
  for (int64_t c = 0; c < s.c; ++c) {
    if (c / (s.c / parts) == k / (s.k / parts)) continue;
    for (int64_t r = 0; r < s.r; ++r) {
      for (int64_t t = 0; t < s.s; ++t) {
        const int64_t h = p / s.q * stride.h - padding.h + r * dilation.h;
        const int64_t v = p % s.q * stride.w - padding.w + t * dilation.w;
        if (h < 0 || h >= s.h || v < 0 || v >= s.w) continue;
        sum += x.at({0, c, h, v}) * w.at({k, c, r, t});
      }
    }
  }
  return sum;
}

TEST(ConvAtPositions, AddsTheOtherPartsAtListedPositionsAndNowhereElse) {
  for (const std::string& target : simd_targets()) {
    set_simd_target(target);
    for (const Case& c : cases()) {
      const Conv2dShape shape = conv2d_shape(c.x, c.weight, c.options, "test");
      const Tensor x = uniform(c.x, 1);
      const Tensor w = uniform(c.weight, 2);
      const detail::ConvAtPositions conv(shape, w.data<float>(), c.parts);
      // What the scratch held before must not matter.
      std::vector<float> scratch(static_cast<size_t>(conv.scratch_size()),
                                 std::numeric_limits<float>::quiet_NaN());
      conv.fill(x.data<float>(), 0, conv.rows() / 2, scratch.data());
      conv.fill(x.data<float>(), conv.rows() / 2, conv.rows(), scratch.data());
      for (int64_t k = 0; k < shape.k; ++k) {
        std::vector<int32_t> positions;  // a different number for each channel
        for (int64_t p = k % 3; p < shape.p * shape.q; p += 1 + k % 4) {
          positions.push_back(static_cast<int32_t>(p));
        }
        std::vector<float> y(static_cast<size_t>(shape.p * shape.q), 0.5F);
        conv.add(k, scratch.data(), positions, y.data());
        size_t next = 0;
        for (int64_t p = 0; p < shape.p * shape.q; ++p) {
          const bool listed = next < positions.size() && positions[next] == p;
          next += listed ? 1 : 0;
          const double sum = listed ? expected_sum(shape, x, w, c.parts, k, p) : 0.0;
          ASSERT_NEAR(y[static_cast<size_t>(p)], 0.5 + sum, kTolerance)
              << target << " " << c.x.str() << " k " << k << " p " << p;
        }
      }
    }
  }
  set_simd_target("");
}

}  // namespace
}  // namespace espalier
