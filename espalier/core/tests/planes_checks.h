// SPDX-License-Identifier: Apache-2.0
/// What the tests of the planes kernels share: the convolutions, memory with guards around it, and
/// the results that are expected.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include <espalier/core/kernels/conv2d/planes_input.h>
#include <espalier/core/tests/conv2d_checks.h>

namespace espalier::testing {

/// Convolutions of one sample: every width that kernels treat differently, odd channels, strides.
inline const std::vector<ConvCase>& planes_cases() {
  static const std::vector<ConvCase> list = {
      {"resnet stage 1", {1, 16, 32, 32}, {16, 16, 3, 3}, {.padding = 1}},
      {"first layer", {1, 3, 32, 32}, {17, 3, 3, 3}, {.padding = 1}},
      {"16x16", {1, 9, 16, 16}, {21, 9, 3, 3}, {.padding = 1}},
      {"8x8", {1, 37, 8, 8}, {51, 37, 3, 3}, {.padding = 1}},
      {"4x4", {1, 70, 4, 4}, {37, 70, 3, 3}, {.padding = 1}},
      {"2x2", {1, 65, 2, 2}, {33, 65, 3, 3}, {.padding = 1}},
      {"1x1 plane", {1, 16, 1, 1}, {5, 16, 3, 3}, {.padding = 1}},
      {"two rows of vectors", {1, 5, 5, 5}, {13, 5, 3, 3}, {.padding = 1}},
      {"48 wide", {1, 3, 5, 48}, {6, 3, 3, 3}, {.padding = 1}},
      {"64 wide, one row", {1, 3, 1, 64}, {5, 3, 3, 3}, {.padding = 1}},
      {"odd plane", {1, 5, 7, 13}, {6, 5, 3, 3}, {.padding = 1}},
      {"18 to 16 in place", {1, 4, 7, 18}, {5, 4, 3, 3}, {}},
      {"no padding", {1, 5, 5, 4}, {6, 5, 3, 3}, {}},
      {"32 to 16, stride 2", {1, 16, 32, 32}, {7, 16, 3, 3}, {.stride = 2, .padding = 1}},
      {"16 to 8, stride 2", {1, 6, 16, 16}, {9, 6, 3, 3}, {.stride = 2, .padding = 1}},
      {"stride 2, odd plane", {1, 5, 7, 5}, {6, 5, 3, 3}, {.stride = 2, .padding = 1}},
      {"1x1", {1, 16, 7, 5}, {5, 16, 1, 1}, {}},
      {"1x1 on 32x32", {1, 19, 32, 32}, {6, 19, 1, 1}, {}},
      {"1x1, stride 2", {1, 5, 32, 32}, {16, 5, 1, 1}, {.stride = 2}},
      {"1x1 on 14x14", {1, 20, 14, 14}, {60, 20, 1, 1}, {}},
      {"7x7, many channels", {1, 33, 7, 7}, {57, 33, 3, 3}, {.padding = 1}},
      {"1x1, stride 2, 14 to 7", {1, 9, 14, 14}, {29, 9, 1, 1}, {.stride = 2}},
      {"5x5, no padding", {1, 3, 8, 8}, {6, 3, 5, 5}, {}},
      {"more padding than kernel", {1, 3, 4, 4}, {3, 3, 2, 2}, {.padding = 3}},
      {"more padding", {1, 6, 3, 5}, {7, 6, 3, 3}, {.padding = {2, 3}}},
      {"uneven everything",
       {1, 4, 9, 11},
       {5, 4, 2, 3},
       {.stride = {3, 2}, .padding = {0, 2}, .dilation = {2, 1}}},
      {"dilation", {1, 3, 8, 8}, {4, 3, 3, 3}, {.padding = 2, .dilation = 2}},
      {"wide dilation", {1, 2, 16, 20}, {3, 2, 3, 3}, {.padding = 18, .dilation = 18}},
      {"dilation and stride",
       {1, 3, 9, 8},
       {4, 3, 3, 3},
       {.stride = 2, .padding = 3, .dilation = 3}},
      {"groups", {1, 6, 5, 5}, {10, 3, 3, 3}, {.padding = 1, .groups = 2}},
      {"depthwise", {1, 17, 16, 16}, {17, 1, 3, 3}, {.padding = 1, .groups = 17}},
      {"nothing but padding", {1, 2, 1, 1}, {3, 2, 1, 1}, {.stride = 5, .padding = 2}},
      {"linear layer", {1, 77, 1, 1}, {35, 77, 1, 1}, {}},
  };
  return list;
}

/// Memory of a plain tensor between guards: NaNs that may be read and must not be written.
class Guarded {
 public:
  explicit Guarded(const Tensor& inner)
      : size_(inner.numel()), all_(Tensor::empty({size_ + 2 * detail::kPlanesSlack})) {
    all_.fill_(std::nan(""));
    std::copy_n(inner.data<float>(), size_, data());
  }
  float* data() { return all_.data<float>() + detail::kPlanesSlack; }
  Tensor inner(const Shape& shape) {
    Tensor out = Tensor::empty(shape);
    std::copy_n(data(), size_, out.data<float>());
    return out;
  }
  /// Whether all guards are still there.
  bool whole() const {
    const float* p = all_.data<float>();
    for (int64_t i = 0; i < detail::kPlanesSlack; ++i) {
      if (!std::isnan(p[i]) || !std::isnan(p[detail::kPlanesSlack + size_ + i])) return false;
    }
    return true;
  }

 private:
  int64_t size_;
  Tensor all_;
};

/// One convolution of one sample: operands, and the results in float64 before limits.
struct PlanesProblem {
  Conv2dShape shape;
  Tensor x, weight, bias, residual;
  explicit PlanesProblem(const ConvCase& c)
      : shape(conv2d_shape(c.x, c.weight, c.options, "test")),
        x(random_tensor(c.x, 1)),
        weight(random_tensor(c.weight, 2)),
        bias(random_tensor({c.weight[0]}, 3)),
        residual(random_tensor(out_shape(), 4)) {}
  Shape out_shape() const { return {1, shape.k, shape.p, shape.q}; }

  /// Expects `y` to be the results, limited to [low, high]; absolute terms bound the rounding.
  /// `factor` (K), where given, multiplies all but the residual. `transformed`: by Winograd's
  /// algorithm, where terms of neighbours round too.
  void expect(const Tensor& y,
              float low,
              float high,
              const std::string& what,
              const std::vector<float>& factor = {},
              bool transformed = false) const {
    Tensor exact = Tensor::empty(out_shape(), DType::F64);
    Tensor terms = Tensor::empty(out_shape(), DType::F64);
    reference::conv2d_forward(
        shape, x.to(DType::F64), weight.to(DType::F64), bias.to(DType::F64), exact);
    reference::conv2d_forward(shape, magnitude(x), magnitude(weight), magnitude(bias), terms);
    for (int64_t i = 0; i < exact.numel(); ++i) {
      const double r = residual.data<float>()[i];
      const auto k = static_cast<size_t>(i / (shape.p * shape.q));
      const double f = factor.empty() ? 1.0 : static_cast<double>(factor[k]);
      double& value = exact.data<double>()[i];
      terms.data<double>()[i] *= std::fabs(f);
      value = std::clamp(f * value + r, static_cast<double>(low), static_cast<double>(high));
      terms.data<double>()[i] += std::fabs(r);
    }
    expect_close(y, exact, transformed ? largest_of_plane(terms) : terms, what);
  }
};

}  // namespace espalier::testing
