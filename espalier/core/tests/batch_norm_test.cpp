// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>

#include <espalier/core/kernels/batch_norm.h>
#include <espalier/core/parallel.h>
#include <espalier/core/random.h>
#include <espalier/core/simd.h>

namespace espalier {
namespace {

// Relative error of a variance, of float32 values about their mean.
constexpr double kVarianceTol = 1e-6;
// A handful of float32 roundings of values of size one.
constexpr double kFloatTol = 1e-6;

Tensor random_tensor(const Shape& shape, uint64_t seed, double mean = 0.0) {
  Tensor t = Tensor::empty(shape, DType::F32);
  Rng rng(seed, "batch norm test");
  fill_uniform_(t, rng, mean - 1.0, mean + 1.0);
  return t;
}

const std::vector<Shape>& shapes() {
  static const std::vector<Shape> list = {{1, 3, 2, 3},
                                          {15, 5, 1, 1},
                                          {16, 1, 4, 4},
                                          {17, 3, 7, 5},
                                          {40, 2, 8, 8},
                                          {17, 5},
                                          {33, 2, 3}};
  return list;
}

/// Calls f(channel, flat index) for all elements of a plain tensor.
template <class F>
void each_element(const Shape& shape, F f) {
  const int64_t inner = shape.numel() / shape[0] / shape[1];
  for (int64_t i = 0; i < shape.numel(); ++i)
    f(static_cast<size_t>(i / inner % shape[1]), static_cast<size_t>(i));
}

ChannelMoments plain_moments(const Tensor& x) {
  const auto v = x.to_vector<double>();
  const auto channels = static_cast<size_t>(x.size(1));
  const double count = static_cast<double>(x.numel()) / static_cast<double>(channels);
  ChannelMoments m{std::vector<double>(channels), std::vector<double>(channels)};
  each_element(x.shape(), [&](size_t c, size_t i) { m.mean[c] += v[i] / count; });
  each_element(x.shape(),
               [&](size_t c, size_t i) { m.var[c] += std::pow(v[i] - m.mean[c], 2) / count; });
  return m;
}

class BatchNormKernels : public ::testing::Test {
 protected:
  void TearDown() override {
    set_simd_target("");
    set_num_threads(0);
  }
};

TEST_F(BatchNormKernels, MomentsAreThoseOfTheValidSamplesEvenFarFromZero) {
  for (const Shape& shape : shapes()) {
    for (const double mean : {0.0, 1000.0}) {
      const Tensor x = random_tensor(shape, 1, mean);
      const ChannelMoments exact = plain_moments(x);
      for (const std::string& target : simd_targets()) {
        set_simd_target(target);
        for (const Layout layout : {Layout::Nchw, Layout::Nchw16n}) {
          const ChannelMoments m = channel_moments(x.to(layout));
          for (size_t c = 0; c < exact.mean.size(); ++c) {
            const std::string what = cat(shape, " ", name(layout), " ", target, " about ", mean);
            EXPECT_NEAR(m.mean[c], exact.mean[c], kFloatTol * (1.0 + mean)) << what;
            EXPECT_NEAR(m.var[c], exact.var[c], kVarianceTol * exact.var[c]) << what;
          }
        }
      }
    }
  }
}

TEST_F(BatchNormKernels, ScaleShiftKeepsPaddingZeroAndCutsNegatives) {
  for (const Shape& shape : shapes()) {
    const Tensor x = random_tensor(shape, 2);
    std::vector<double> scale, shift;
    for (int64_t c = 0; c < shape[1]; ++c) {
      scale.push_back(1.5 - static_cast<double>(c));
      shift.push_back(0.25 * static_cast<double>(c + 1));
    }
    for (const std::string& target : simd_targets()) {
      set_simd_target(target);
      for (const Layout layout : {Layout::Nchw, Layout::Nchw16n}) {
        for (const bool relu : {false, true}) {
          const Tensor in = x.to(layout);
          Tensor y = Tensor::empty_like(in);
          scale_shift(in, scale, shift, relu, y);
          const auto xs = x.to_vector<double>();
          const auto ys = y.to_vector<double>();
          each_element(shape, [&](size_t c, size_t i) {
            const double v = scale[c] * xs[i] + shift[c];
            EXPECT_NEAR(ys[i], relu ? std::max(v, 0.0) : v, 4 * kFloatTol);
          });
          EXPECT_EQ(y.physical().to_vector<float>(),
                    y.to(Layout::Nchw).to(layout).physical().to_vector<float>());
        }
      }
    }
  }
}

TEST_F(BatchNormKernels, ANaNPassesThroughTheReLU) {
  for (const std::string& target : simd_targets()) {
    set_simd_target(target);
    Tensor x = Tensor::from<float>({1, 1, 1, 19}, std::vector<float>(19, -1.0f));
    x.data<float>()[3] = std::nanf("");
    x.data<float>()[18] = std::nanf("");
    Tensor y = Tensor::empty(x.shape());
    scale_shift(x, {2.0}, {1.0}, true, y);
    for (int64_t i = 0; i < 19; ++i) {
      if (i == 3 || i == 18) {
        EXPECT_TRUE(std::isnan(y.data<float>()[i])) << target << ", " << i;
      } else {
        EXPECT_EQ(y.data<float>()[i], 0.0f) << target << ", " << i;
      }
    }
  }
}

TEST_F(BatchNormKernels, BackwardPassesFollowTheGate) {
  for (const Shape& shape : shapes()) {
    const Tensor x = random_tensor(shape, 3);
    const Tensor dy = random_tensor(shape, 4);
    const auto channels = static_cast<size_t>(shape[1]);
    const std::vector<double> center(channels, 0.125), a(channels, 2.0), b(channels, -0.5),
        c(channels, 0.75);
    const ReluGate gate{std::vector<double>(channels, -1.5), std::vector<double>(channels, 0.1)};
    const auto xs = x.to_vector<double>();
    const auto gs = dy.to_vector<double>();
    for (const std::string& target : simd_targets()) {
      set_simd_target(target);
      for (const Layout layout : {Layout::Nchw, Layout::Nchw16n}) {
        for (const bool relu : {false, true}) {
          const ReluGate used = relu ? gate : ReluGate{};
          const ChannelSums sums = gated_sums(dy.to(layout), x.to(layout), center, used);
          Tensor dx = Tensor::empty(shape, DType::F32, layout);
          gated_combine(dy.to(layout), x.to(layout), a, b, c, used, dx);
          const auto got = dx.to_vector<double>();
          std::vector<double> g(channels), g_x(channels);
          each_element(shape, [&](size_t k, size_t i) {
            const bool open = !relu || -1.5 * xs[i] + 0.1 > 0.0;
            g[k] += open ? gs[i] : 0.0;
            g_x[k] += open ? gs[i] * (xs[i] - 0.125) : 0.0;
            EXPECT_NEAR(got[i], (open ? 2.0 * gs[i] : 0.0) - 0.5 * xs[i] + 0.75, 4 * kFloatTol);
          });
          const double terms = static_cast<double>(shape.numel()) / static_cast<double>(channels);
          for (size_t k = 0; k < channels; ++k) {
            EXPECT_NEAR(sums.g[k], g[k], kFloatTol * terms);
            EXPECT_NEAR(sums.g_x[k], g_x[k], kFloatTol * terms);
          }
          EXPECT_EQ(dx.physical().to_vector<float>(),
                    dx.to(Layout::Nchw).to(layout).physical().to_vector<float>());
        }
      }
    }
  }
}

TEST_F(BatchNormKernels, BitsDontDependOnTheThreadCount) {
  const Tensor x = random_tensor({70, 9, 16, 16}, 5).to(Layout::Nchw16n);
  const Tensor dy = random_tensor({70, 9, 16, 16}, 6).to(Layout::Nchw16n);
  const std::vector<double> center(9, 0.0);
  set_num_threads(1);
  const ChannelMoments m = channel_moments(x);
  const ChannelSums s = gated_sums(dy, x, center, {});
  for (const int threads : {2, 7}) {
    set_num_threads(threads);
    EXPECT_EQ(channel_moments(x).mean, m.mean);
    EXPECT_EQ(channel_moments(x).var, m.var);
    EXPECT_EQ(gated_sums(dy, x, center, {}).g_x, s.g_x);
  }
}

}  // namespace
}  // namespace espalier
