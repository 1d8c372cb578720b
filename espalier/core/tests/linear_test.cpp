// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>

#include <espalier/core/kernels/linear/linear.h>
#include <espalier/core/parallel.h>
#include <espalier/core/random.h>

namespace espalier {
namespace {

// Sums of up to 130 products of numbers in [-1, 1).
constexpr double kTolerance32 = 2e-5;
constexpr double kTolerance64 = 1e-13;

Tensor random_tensor(const Shape& shape, DType dtype, Layout layout, uint64_t seed) {
  Tensor t = Tensor::empty(shape, dtype, layout);
  Rng rng(seed, "linear_test");
  fill_uniform_(t, rng, -1.0, 1.0);
  return t;
}

double worst_difference(const Tensor& a, const Tensor& b) {
  EXPECT_EQ(a.shape(), b.shape());
  const auto va = a.to_vector<double>(), vb = b.to_vector<double>();
  double worst = 0.0;
  for (size_t i = 0; i < va.size(); ++i) worst = std::max(worst, std::abs(va[i] - vb[i]));
  return worst;
}

void expect_zero_padding(const Tensor& t) {
  const auto physical = t.physical().to_vector<double>();
  Tensor again = Tensor::empty_like(t);
  again.copy_(t.to(Layout::Nchw));
  EXPECT_EQ(physical, again.physical().to_vector<double>());
}

struct Case {
  int64_t n, in, out;
  DType dtype;
};

class LinearKernel : public testing::TestWithParam<Case> {
 protected:
  static constexpr Layout kLayout = Layout::Nchw16n;
  const Case c = GetParam();
  const Tensor x = random_tensor({c.n, c.in}, c.dtype, kLayout, 1);
  const Tensor w = random_tensor({c.out, c.in}, c.dtype, Layout::Nchw, 2);
  const Tensor bias = random_tensor({c.out}, c.dtype, Layout::Nchw, 3);
  const Tensor g = random_tensor({c.n, c.out}, c.dtype, kLayout, 4);
  const double tolerance = c.dtype == DType::F32 ? kTolerance32 : kTolerance64;
};

TEST_P(LinearKernel, ForwardMatchesTheReference) {
  for (const Tensor& b : {bias, Tensor()}) {
    Tensor fast = Tensor::empty(g.shape(), c.dtype, kLayout), slow = Tensor::empty_like(fast);
    linear_forward(x, w, b, fast);
    reference::linear_forward(x, w, b, slow);
    EXPECT_LE(worst_difference(fast, slow), tolerance);
    expect_zero_padding(fast);
  }
}

TEST_P(LinearKernel, BackwardDataMatchesTheReference) {
  Tensor fast = Tensor::empty_like(x), slow = Tensor::empty_like(x);
  linear_backward_data(g, w, fast);
  reference::linear_backward_data(g, w, slow);
  EXPECT_LE(worst_difference(fast, slow), tolerance);
  expect_zero_padding(fast);
}

TEST_P(LinearKernel, BackwardWeightMatchesTheReference) {
  Tensor fast = Tensor::full_like(w, 7.0), slow = Tensor::empty_like(w);
  linear_backward_weight(x, g, fast);
  reference::linear_backward_weight(x, g, slow);
  EXPECT_LE(worst_difference(fast, slow), tolerance);
}

TEST_P(LinearKernel, BitsDoNotDependOnTheThreads) {
  const auto run = [&](int threads) {
    set_num_threads(threads);
    Tensor y = Tensor::empty(g.shape(), c.dtype, kLayout);
    Tensor dx = Tensor::empty_like(x), dw = Tensor::empty_like(w);
    linear_forward(x, w, bias, y);
    linear_backward_data(g, w, dx);
    linear_backward_weight(x, g, dw);
    set_num_threads(0);
    return std::vector{y.to_vector<double>(), dx.to_vector<double>(), dw.to_vector<double>()};
  };
  EXPECT_EQ(run(1), run(7));
}

INSTANTIATE_TEST_SUITE_P(Sizes,
                         LinearKernel,
                         testing::Values(Case{1, 1, 1, DType::F32},
                                         Case{15, 7, 5, DType::F32},
                                         Case{16, 8, 4, DType::F32},
                                         Case{17, 35, 70, DType::F32},
                                         Case{17, 1, 9, DType::F32},
                                         Case{17, 9, 1, DType::F32},
                                         Case{100, 33, 37, DType::F32},
                                         Case{70, 130, 40, DType::F32},
                                         Case{33, 9, 6, DType::F64}),
                         [](const auto& info) {
                           const Case& c = info.param;
                           return cat("n", c.n, "_in", c.in, "_out", c.out, "_", name(c.dtype));
                         });

TEST(LinearKernelErrors, SizesThatDoNotFitAreNamed) {
  const Tensor x = Tensor::zeros({4, 3}, DType::F32, Layout::Nchw16n);
  const Tensor w = Tensor::zeros({2, 5});
  Tensor y = Tensor::zeros({4, 2}, DType::F32, Layout::Nchw16n);
  EXPECT_THROW(linear_forward(x, w, {}, y), ShapeError);
  EXPECT_THROW(linear_forward(x, Tensor::zeros({2, 3}, DType::F64), {}, y), TypeError);
  EXPECT_THROW(linear_forward(x, Tensor::zeros({2, 3}), Tensor::zeros({3}), y), ShapeError);
}

}  // namespace
}  // namespace espalier
