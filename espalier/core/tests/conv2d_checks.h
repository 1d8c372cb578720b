// SPDX-License-Identifier: Apache-2.0
/// What the tests of all convolution kernels share: operands, a bound on rounding errors, checks.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include <espalier/core/kernels/conv2d/conv2d.h>
#include <espalier/core/random.h>

namespace espalier::testing {

/// Rounding of float32 sums, relative to the sum of the terms' magnitudes.
inline constexpr double kFloatSumTol = 16 * 0x1p-24;

/// A convolution to test.
struct ConvCase {
  const char* name;
  Shape x;
  Shape weight;
  Conv2dOptions options;
};

/// Results of the three directions.
struct ConvResults {
  Tensor y, dx, dw;
};

/// float32, uniform in [-1, 1).
inline Tensor random_tensor(const Shape& shape, uint64_t seed) {
  Tensor t = Tensor::empty(shape, DType::F32);
  Rng rng(seed, "conv2d test");
  fill_uniform_(t, rng, -1.0, 1.0);
  return t;
}

/// float64 |a|.
inline Tensor magnitude(const Tensor& a) {
  Tensor out = a.to(DType::F64).clone();
  for (int64_t i = 0; i < out.numel(); ++i) {
    out.data<double>()[i] = std::fabs(out.data<double>()[i]);
  }
  return out;
}

/// Every element replaced by the largest of its plane, the last two dimensions of a plain tensor:
/// Winograd's transforms add and subtract neighbours, so that the rounding errors of one element
/// are relative to the terms of those around it (arXiv 1509.09308, section 5).
inline Tensor largest_of_plane(const Tensor& terms) {
  Tensor out = terms.to(DType::F64).clone();
  const int64_t plane = out.size(2) * out.size(3);
  for (double* p = out.data<double>(); p < out.data<double>() + out.numel(); p += plane) {
    std::fill_n(p, plane, *std::max_element(p, p + plane));
  }
  return out;
}

/// Expects |fast - exact| <= kFloatSumTol * terms in every element; names at most three others.
inline void expect_close(const Tensor& fast,
                         const Tensor& exact,
                         const Tensor& terms,
                         const std::string& what) {
  const auto f = fast.to_vector<double>();
  const auto e = exact.to_vector<double>();
  const auto m = terms.to_vector<double>();
  ASSERT_EQ(f.size(), e.size()) << what;
  int shown = 0;
  for (size_t i = 0; i < f.size() && shown < 3; ++i) {
    if (std::fabs(f[i] - e[i]) <= kFloatSumTol * m[i]) continue;
    ++shown;
    ADD_FAILURE() << what << ": element " << i << " is " << f[i] << ", expected " << e[i];
  }
}

/// Expects zeros in the lanes beyond the batch: equal after removing and adding the layout.
inline void expect_zero_padding(const Tensor& lanes, const std::string& what) {
  const auto have = lanes.physical().to_vector<float>();
  const auto want = lanes.to(Layout::Nchw).to(Layout::Nchw16n).physical().to_vector<float>();
  EXPECT_EQ(have, want) << what << ": padding lanes are not zero";
}

/// The three directions by the reference in float64.
inline ConvResults run_reference(const Conv2dShape& shape,
                                 const Tensor& x,
                                 const Tensor& weight,
                                 const Tensor& bias,
                                 const Tensor& dy) {
  ConvResults r{Tensor::empty(dy.shape(), DType::F64),
                Tensor::empty(x.shape(), DType::F64),
                Tensor::empty(weight.shape(), DType::F64)};
  reference::conv2d_forward(shape, x, weight, bias, r.y);
  reference::conv2d_backward_data(shape, dy, weight, r.dx);
  reference::conv2d_backward_weight(shape, x, dy, r.dw);
  return r;
}

}  // namespace espalier::testing
