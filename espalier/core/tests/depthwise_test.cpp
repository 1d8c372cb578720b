// SPDX-License-Identifier: Apache-2.0
// Depthwise convolution of one sample in planes, and what the tests of all convolutions
// (conv2d_test.cpp, which run the lanes) don't ask: epilogues, and numbers beyond edges.
#include <gtest/gtest.h>

#include <espalier/core/kernels/conv2d/depthwise.h>
#include <espalier/core/parallel.h>
#include <espalier/core/simd.h>
#include <espalier/core/tests/planes_checks.h>

namespace espalier {
namespace {

using detail::DepthwiseTasks;
using testing::ConvCase;
using testing::Guarded;
using testing::PlanesProblem;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

class Depthwise : public ::testing::Test {
 protected:
  void TearDown() override {
    set_simd_target("");
    set_num_threads(0);
  }
};

std::vector<ConvCase> cases() {
  std::vector<ConvCase> list;
  constexpr int64_t planes[][2] = {{1, 1},
                                   {1, 2},
                                   {2, 1},
                                   {3, 3},
                                   {4, 4},
                                   {7, 7},
                                   {8, 15},
                                   {5, 16},
                                   {6, 17},
                                   {14, 14},
                                   {11, 31},
                                   {9, 32},
                                   {3, 33},
                                   {10, 56}};
  for (const auto& [h, w] : planes) {
    for (const int64_t stride : {1, 2}) {
      list.push_back(
          {"", {1, 5, h, w}, {5, 1, 3, 3}, {.stride = stride, .padding = 1, .groups = 5}});
    }
  }
  list.push_back({"", {1, 97, 23, 41}, {97, 1, 3, 3}, {.padding = 1, .groups = 97}});
  return list;
}

std::string name_of(const PlanesProblem& p, const std::string& target) {
  return cat(p.shape.h, "x", p.shape.w, ", stride ", p.shape.options.stride.h, ", ", target);
}

Tensor run_planes(const PlanesProblem& p,
                  float low,
                  float high,
                  const std::vector<float>& factor = {}) {
  const DepthwiseTasks tasks(p.shape, false);
  Guarded x(p.x);
  Guarded y(Tensor::full(p.out_shape(), 77.0));
  parallel_for(tasks.tasks(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      tasks.run(t,
                {.x = x.data(),
                 .weight = p.weight.data<float>(),
                 .bias = p.bias.data<float>(),
                 .factor = factor.empty() ? nullptr : factor.data(),
                 .residual = p.residual.data<float>(),
                 .y = y.data(),
                 .limits = {low, high}});
    }
  });
  EXPECT_TRUE(x.whole() && y.whole());
  return y.inner(p.out_shape());
}

/// The same sample in all lanes of a block; every lane must have the same bits.
Tensor run_lanes(const PlanesProblem& p, float low, float high, const std::vector<float>& factor) {
  const DepthwiseTasks tasks(p.shape, true);
  const auto repeated = [](const Tensor& a) {
    return a.expand({kLanes, a.size(1), a.size(2), a.size(3)}).contiguous().to(Layout::Nchw16n);
  };
  const Tensor x = repeated(p.x);
  const Tensor residual = repeated(p.residual);
  Tensor y = Tensor::full({kLanes, p.shape.k, p.shape.p, p.shape.q}, 77.0).to(Layout::Nchw16n);
  for (int64_t t = 0; t < tasks.tasks(); ++t) {
    tasks.run(t,
              {.x = x.data<float>(),
               .weight = p.weight.data<float>(),
               .bias = p.bias.data<float>(),
               .factor = factor.data(),
               .residual = residual.data<float>(),
               .y = y.data<float>(),
               .limits = {low, high}});
  }
  const Tensor plain = y.to(Layout::Nchw);
  const Tensor first = plain.slice(0, 0, 1, 1).contiguous();
  EXPECT_EQ(repeated(first).to_vector<float>(), y.to_vector<float>());
  return first;
}

TEST_F(Depthwise, EqualsTheReferenceOnEveryTarget) {
  for (const ConvCase& c : cases()) {
    const PlanesProblem p(c);
    ASSERT_TRUE(detail::is_depthwise(p.shape));
    std::vector<float> factor;
    for (int64_t k = 0; k < p.shape.k; ++k) factor.push_back(0.5f * static_cast<float>(k % 4 - 1));
    for (const std::string& target : simd_targets()) {
      set_simd_target(target);
      const std::string what = name_of(p, target);
      p.expect(run_planes(p, -kInfinity, kInfinity), -kInfinity, kInfinity, what);
      p.expect(run_planes(p, 0.0f, 0.5f), 0.0f, 0.5f, what + ", limits");
      p.expect(
          run_planes(p, -0.4f, kInfinity, factor), -0.4f, kInfinity, what + ", factor", factor);
      p.expect(run_lanes(p, -0.4f, 0.6f, factor), -0.4f, 0.6f, what + ", lanes", factor);
    }
  }
}

TEST_F(Depthwise, ServesNoOtherShape) {
  const auto shape = [](const Shape& x, const Shape& weight, const Conv2dOptions& o) {
    return conv2d_shape(x, weight, o, "test");
  };
  EXPECT_FALSE(
      detail::is_depthwise(shape({1, 4, 6, 6}, {8, 1, 3, 3}, {.padding = 1, .groups = 4})));
  EXPECT_FALSE(
      detail::is_depthwise(shape({1, 4, 6, 6}, {4, 2, 3, 3}, {.padding = 1, .groups = 2})));
  EXPECT_FALSE(detail::is_depthwise(shape({1, 4, 6, 6}, {4, 1, 3, 3}, {.groups = 4})));
  EXPECT_FALSE(
      detail::is_depthwise(shape({1, 4, 6, 6}, {4, 1, 5, 5}, {.padding = 1, .groups = 4})));
  EXPECT_FALSE(detail::is_depthwise(
      shape({1, 4, 6, 6}, {4, 1, 3, 3}, {.stride = {1, 2}, .padding = 1, .groups = 4})));
  EXPECT_FALSE(detail::is_depthwise(
      shape({1, 4, 6, 6}, {4, 1, 3, 3}, {.padding = 1, .dilation = 2, .groups = 4})));
}

TEST_F(Depthwise, HasTheSameBitsOnAnyNumberOfThreads) {
  const PlanesProblem p(cases().back());
  ASSERT_GT(DepthwiseTasks(p.shape, false).tasks(), 2);
  set_num_threads(1);
  const std::vector<float> one = run_planes(p, 0.0f, kInfinity).to_vector<float>();
  for (const int threads : {2, 7}) {
    set_num_threads(threads);
    EXPECT_EQ(run_planes(p, 0.0f, kInfinity).to_vector<float>(), one);
  }
}

// Where a row ends the next one begins in memory: an infinity there must not come through a column
// that lies beyond the edge, and neither must a NaN of the neighbouring channel.
TEST_F(Depthwise, NumbersBeyondAnEdgeAreNotSeen) {
  PlanesProblem p({"", {1, 2, 3, 4}, {2, 1, 3, 3}, {.padding = 1, .groups = 2}});
  p.residual.fill_(0.0);
  p.x.fill_(1.0);
  p.x.data<float>()[4] = kInfinity;       // channel 0, (1, 0)
  p.x.data<float>()[12] = std::nanf("");  // channel 1, (0, 0)
  for (const std::string& target : simd_targets()) {
    set_simd_target(target);
    const std::vector<float> y = run_planes(p, -kInfinity, kInfinity).to_vector<float>();
    for (size_t i = 0; i < 12; ++i) EXPECT_EQ(std::isfinite(y[i]), i % 4 > 1) << target << i;
    for (size_t i = 0; i < 12; ++i) {
      EXPECT_EQ(std::isnan(y[12 + i]), i / 4 < 2 && i % 4 < 2) << target << ", " << i;
    }
  }
}

TEST_F(Depthwise, ANaNStaysWithinTheLimits) {
  PlanesProblem p({"", {1, 1, 4, 4}, {1, 1, 3, 3}, {.padding = 1}});
  p.x.data<float>()[0] = std::nanf("");
  const std::vector<float> y = run_planes(p, 0.0f, 1.0f).to_vector<float>();
  for (size_t i = 0; i < y.size(); ++i) {
    EXPECT_EQ(std::isnan(y[i]), i == 0 || i == 1 || i == 4 || i == 5) << i;
  }
}

}  // namespace
}  // namespace espalier
