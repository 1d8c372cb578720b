// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <espalier/core/kernels/conv2d/winograd_planes.h>
#include <espalier/core/parallel.h>
#include <espalier/core/simd.h>
#include <espalier/core/tests/planes_checks.h>

namespace espalier {
namespace {

using detail::PlanesOperands;
using detail::WinogradPlanes;
using detail::WinogradTile;
using testing::ConvCase;
using testing::Guarded;
using testing::PlanesProblem;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// Besides the shapes of all planes kernels: tiles that reach over both edges, more than one group
/// of sixteen, more than four groups, paddings, one row.
std::vector<ConvCase> cases() {
  std::vector<ConvCase> out = {
      {"five groups of large tiles", {1, 3, 33, 34}, {5, 3, 3, 3}, {.padding = 1}},
      {"wide and low", {1, 2, 3, 70}, {9, 2, 3, 3}, {.padding = 1}},
      {"narrow and high", {1, 2, 41, 3}, {17, 2, 3, 3}, {.padding = 1}},
      {"one column of outputs", {1, 4, 9, 3}, {4, 4, 3, 3}, {}},
      {"padding 2", {1, 3, 6, 11}, {7, 3, 3, 3}, {.padding = 2}},
      {"padding of one side", {1, 3, 10, 5}, {3, 3, 3, 3}, {.padding = {0, 2}}},
      {"56x56", {1, 2, 56, 56}, {2, 2, 3, 3}, {.padding = 1}},
  };
  for (const ConvCase& c : testing::planes_cases()) {
    const Conv2dShape shape = conv2d_shape(c.x, c.weight, c.options, "test");
    const Conv2dOptions& o = shape.options;
    if (shape.r == 3 && shape.s == 3 && o.stride == Pair(1) && o.dilation == Pair(1) &&
        o.groups == 1 && o.padding.h <= 2 && o.padding.w <= 2) {
      out.push_back(c);
    }
  }
  return out;
}

class WinogradPlanesTest : public ::testing::TestWithParam<int> {
 protected:
  void TearDown() override {
    set_simd_target("");
    set_num_threads(0);
    set_conv2d_algorithm(Conv2dAlgorithm::Auto);
  }

  Tensor run(const PlanesProblem& p, float low, float high) const {
    const WinogradPlanes planes(p.shape, {GetParam()}, p.weight.data<float>());
    Guarded x(p.x);
    Guarded y(Tensor::full(p.out_shape(), 77.0));
    Tensor scratch = Tensor::full({planes.scratch_size()}, std::nan(""));
    const PlanesOperands operands{.x = x.data(),
                                  .weight = nullptr,
                                  .bias = p.bias.data<float>(),
                                  .residual = p.residual.data<float>(),
                                  .y = y.data(),
                                  .limits = {low, high}};
    parallel_for(planes.fill_tasks(), 1, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) planes.fill(t, x.data(), scratch.data<float>());
    });
    parallel_for(planes.tasks(), 1, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) planes.run(t, operands, scratch.data<float>());
    });
    EXPECT_TRUE(x.whole() && y.whole());
    return y.inner(p.out_shape());
  }
};
INSTANTIATE_TEST_SUITE_P(Tiles, WinogradPlanesTest, ::testing::Values(2, 4));

TEST_P(WinogradPlanesTest, EqualsTheReferenceOnEveryTarget) {
  ASSERT_GE(cases().size(), 15u);
  for (const ConvCase& c : cases()) {
    const PlanesProblem p(c);
    for (const std::string& target : simd_targets()) {
      set_simd_target(target);
      const std::string what = cat(c.name, ", ", target);
      p.expect(run(p, -kInfinity, kInfinity), -kInfinity, kInfinity, what, {}, true);
      p.expect(run(p, 0.0f, 0.5f), 0.0f, 0.5f, what + ", limits", {}, true);
    }
  }
}

TEST_P(WinogradPlanesTest, HasTheSameBitsOnAnyNumberOfThreads) {
  for (const ConvCase& c : cases()) {
    const PlanesProblem p(c);
    set_num_threads(1);
    const std::vector<float> one = run(p, 0.0f, kInfinity).to_vector<float>();
    for (const int threads : {2, 7}) {
      set_num_threads(threads);
      EXPECT_EQ(run(p, 0.0f, kInfinity).to_vector<float>(), one) << c.name;
    }
  }
}

TEST_P(WinogradPlanesTest, KeepsANaNThroughTheLimits) {
  PlanesProblem p(cases().front());
  p.x.data<float>()[40] = std::nanf("");
  const Tensor y = run(p, 0.0f, 1.0f);
  // The outputs that the NaN's taps reach, at least; further ones of the same tile may become NaN.
  EXPECT_TRUE(std::isnan(y.data<float>()[40]));
}

TEST_P(WinogradPlanesTest, WorksWithoutBiasAndResidual) {
  const ConvCase c{"plain", {1, 3, 9, 10}, {5, 3, 3, 3}, {.padding = 1}};
  PlanesProblem p(c);
  p.bias.fill_(0.0);
  p.residual.fill_(0.0);
  const WinogradPlanes planes(p.shape, {GetParam()}, p.weight.data<float>());
  Guarded x(p.x);
  Guarded y(Tensor::zeros(p.out_shape()));
  Tensor scratch = Tensor::empty({planes.scratch_size()});
  for (int64_t t = 0; t < planes.fill_tasks(); ++t) planes.fill(t, x.data(), scratch.data<float>());
  for (int64_t t = 0; t < planes.tasks(); ++t) {
    planes.run(t, {.x = x.data(), .weight = nullptr, .y = y.data()}, scratch.data<float>());
  }
  p.expect(y.inner(p.out_shape()), -kInfinity, kInfinity, "plain", {}, true);
}

TEST(WinogradPlanes, TileSizesFollowTheProductsThatTheySave) {
  const auto tile = [](int64_t channels, int64_t plane, const Conv2dOptions& options) {
    return WinogradPlanes::tile_size(
        conv2d_shape({1, channels, plane, plane}, {channels, channels, 3, 3}, options, "test"));
  };
  const Conv2dOptions plain{.padding = 1};
  EXPECT_EQ(tile(16, 32, plain), 4);  // 144 vectors of products; 256 by 2x2 tiles, 576 directly
  EXPECT_EQ(tile(32, 16, plain), 4);  // 36; 64; 144
  EXPECT_EQ(tile(64, 8, plain), 2);   // 36; 16; 36
  EXPECT_EQ(tile(64, 4, plain), 0);   // 36; 16; 9
  EXPECT_EQ(tile(3, 32, plain), 0);   // the transforms would take longer
  EXPECT_EQ(tile(16, 32, {.stride = 2, .padding = 1}), 0);
  EXPECT_EQ(tile(16, 32, {.padding = 3}), 0);
  EXPECT_EQ(tile(16, 224, plain), 0);  // its rows fill no stack
  set_conv2d_algorithm(Conv2dAlgorithm::Direct);
  EXPECT_EQ(tile(16, 32, plain), 0);
  set_conv2d_algorithm(Conv2dAlgorithm::Winograd2);
  EXPECT_EQ(tile(16, 32, plain), 2);
  set_conv2d_algorithm(Conv2dAlgorithm::Auto);
}

}  // namespace
}  // namespace espalier
