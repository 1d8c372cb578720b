// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <espalier/core/kernels/bfloat16.h>
#include <espalier/core/kernels/conv2d/planes_few.h>
#include <espalier/core/parallel.h>
#include <espalier/core/simd.h>
#include <espalier/core/tests/planes_checks.h>

namespace espalier {
namespace {

using detail::DensePlanes;
using detail::PlanesChannels;
using detail::PlanesOperands;
using testing::Guarded;
using testing::planes_cases;
using testing::PlanesProblem;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

class Conv2dPlanes : public ::testing::Test {
 protected:
  void TearDown() override {
    set_simd_target("");
    set_num_threads(0);
  }
};

// With a scratch full of NaNs: nothing may be read that was not filled.
Tensor fresh_scratch(const DensePlanes& planes) {
  Tensor scratch = Tensor::empty({std::max<int64_t>(1, planes.scratch_size())});
  scratch.fill_(std::nan(""));
  return scratch;
}

Tensor run(const PlanesProblem& p, float low, float high, const std::vector<float>& factor = {}) {
  const DensePlanes planes(p.shape);
  Guarded x(p.x);
  Guarded y(Tensor::full(p.out_shape(), 77.0));
  Tensor scratch = fresh_scratch(planes);
  const PlanesOperands operands{.x = x.data(),
                                .weight = p.weight.data<float>(),
                                .bias = p.bias.data<float>(),
                                .factor = factor.empty() ? nullptr : factor.data(),
                                .residual = p.residual.data<float>(),
                                .y = y.data(),
                                .limits = {low, high}};
  parallel_for(planes.fill_tasks(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) planes.fill(t, x.data(), {}, scratch.data<float>());
  });
  parallel_for(planes.tasks(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) planes.run(t, operands, {}, scratch.data<float>());
  });
  EXPECT_TRUE(x.whole() && y.whole());
  return y.inner(p.out_shape());
}

TEST_F(Conv2dPlanes, EqualsTheReferenceOnEveryTarget) {
  for (const auto& c : planes_cases()) {
    const PlanesProblem p(c);
    for (const std::string& target : simd_targets()) {
      set_simd_target(target);
      p.expect(run(p, -kInfinity, kInfinity), -kInfinity, kInfinity, cat(c.name, ", ", target));
      p.expect(run(p, 0.0f, 0.5f), 0.0f, 0.5f, cat(c.name, ", limits, ", target));
    }
  }
}

TEST_F(Conv2dPlanes, MultipliesSumsByTheirFactorsBeforeTheResidual) {
  for (const auto& c : planes_cases()) {
    const PlanesProblem p(c);
    std::vector<float> factor;
    for (int64_t k = 0; k < p.shape.k; ++k) factor.push_back(0.5f * static_cast<float>(k % 4 - 1));
    for (const std::string& target : simd_targets()) {
      set_simd_target(target);
      p.expect(run(p, -0.4f, kInfinity, factor),
               -0.4f,
               kInfinity,
               cat(c.name, ", factors, ", target),
               factor);
    }
  }
}

TEST_F(Conv2dPlanes, HasTheSameBitsOnAnyNumberOfThreads) {
  for (const auto& c : planes_cases()) {
    const PlanesProblem p(c);
    set_num_threads(1);
    const std::vector<float> one = run(p, 0.0f, kInfinity).to_vector<float>();
    for (const int threads : {2, 7}) {
      set_num_threads(threads);
      EXPECT_EQ(run(p, 0.0f, kInfinity).to_vector<float>(), one) << c.name;
    }
  }
}

// What `planes` gives, within limits, is the reference's result, and nothing else is written.
void expect_reference(const PlanesProblem& p,
                      const detail::FewPlanes& planes,
                      const std::string& what) {
  Guarded y(Tensor::zeros(p.out_shape()));
  Tensor scratch = Tensor::empty({std::max<int64_t>(1, planes.scratch_size())});
  const PlanesOperands operands{.x = p.x.data<float>(),
                                .weight = nullptr,
                                .bias = p.bias.data<float>(),
                                .residual = p.residual.data<float>(),
                                .y = y.data(),
                                .limits = {-0.5f, 0.5f}};
  planes.fill(operands.x, scratch.data<float>());
  for (int64_t t = 0; t < planes.tasks(); ++t) planes.run(t, operands, scratch.data<float>());
  EXPECT_TRUE(y.whole());
  p.expect(y.inner(p.out_shape()), -0.5f, 0.5f, what);
}

TEST_F(Conv2dPlanes, FewPositionsEqualTheReferenceOnEveryTarget) {
  std::vector<testing::ConvCase> cases = {
      {"three positions", {1, 7, 3, 1}, {18, 7, 3, 3}, {.padding = 1}},
      {"two of a stride", {1, 6, 3, 4}, {17, 6, 3, 3}, {.stride = 2, .padding = {0, 1}}}};
  cases.insert(cases.end(), planes_cases().begin(), planes_cases().end());
  int count = 0;
  for (const auto& c : cases) {
    const PlanesProblem p(c);
    if (!detail::FewPlanes::fits(p.shape)) continue;
    ++count;
    for (const std::string& target : simd_targets()) {
      set_simd_target(target);
      const detail::FewPlanes planes(p.shape, p.weight.data<float>());
      expect_reference(p, planes, cat(c.name, ", ", target));
    }
  }
  EXPECT_GE(count, 6);
}

// The reference multiplies weights that were rounded beforehand, so only sums differ.
TEST_F(Conv2dPlanes, WeightsInBFloat16EqualTheReferenceOfRoundedOnes) {
  const std::vector<testing::ConvCase> cases = {
      {"one position", {1, 9, 3, 3}, {18, 9, 3, 3}, {}},
      {"two", {1, 6, 3, 4}, {17, 6, 3, 3}, {.stride = 2, .padding = {0, 1}}},
      {"three", {1, 7, 3, 1}, {18, 7, 3, 3}, {.padding = 1}},
      {"four", {1, 5, 2, 2}, {33, 5, 3, 3}, {.padding = 1}},
      {"five", {1, 4, 1, 5}, {16, 4, 3, 3}, {.padding = 1}},
      {"nine", {1, 4, 3, 3}, {20, 4, 3, 3}, {.padding = 1}},
      {"twelve", {1, 3, 3, 4}, {16, 3, 1, 1}, {}},
      {"sixteen", {1, 6, 4, 4}, {40, 6, 3, 3}, {.padding = 1}},
      {"fifteen of a stride", {1, 3, 6, 10}, {16, 3, 3, 3}, {.stride = 2, .padding = 1}}};
  for (const auto& c : cases) {
    PlanesProblem p(c);
    ASSERT_TRUE(detail::FewPlanes::fits(p.shape, detail::WeightsAs::BFloat16)) << c.name;
    float* w = p.weight.data<float>();
    std::vector<uint16_t> bits(static_cast<size_t>(p.weight.numel()));
    const Tensor unrounded = p.weight.clone();
    to_bfloat16(w, p.weight.numel(), bits.data());
    from_bfloat16(bits.data(), p.weight.numel(), w);
    for (const std::string& target : simd_targets()) {
      set_simd_target(target);
      const detail::FewPlanes planes(p.shape, unrounded.data<float>(), detail::WeightsAs::BFloat16);
      expect_reference(p, planes, cat(c.name, ", ", target));
    }
    const detail::FewPlanes rounded(p.shape, w, detail::WeightsAs::BFloat16);
    if (!detail::FewPlanes::fits(p.shape)) continue;
    EXPECT_EQ(2 * rounded.nbytes(), detail::FewPlanes(p.shape, w).nbytes()) << c.name;
  }
}

TEST_F(Conv2dPlanes, KeepsANaNThroughTheLimits) {
  PlanesProblem p({"", {1, 1, 4, 4}, {1, 1, 3, 3}, {.padding = 1}});
  p.x.data<float>()[0] = std::nanf("");
  const std::vector<float> y = run(p, 0.0f, 1.0f).to_vector<float>();
  // The window of the first pixel reaches (1, 1) and no further.
  for (size_t i = 0; i < y.size(); ++i) {
    EXPECT_EQ(std::isnan(y[i]), i == 0 || i == 1 || i == 4 || i == 5) << i;
  }
}

// Every third channel, from `first`.
std::vector<int32_t> some(int64_t channels, int32_t first) {
  std::vector<int32_t> list;
  for (int32_t c = first; c < channels; c += 3) list.push_back(c);
  return list;
}

TEST_F(Conv2dPlanes, ComputesOnlyListedChannels) {
  for (const auto& c : planes_cases()) {
    if (c.options.groups != 1) continue;
    PlanesProblem p(c);
    const std::vector<int32_t> in = some(p.shape.c, 1);
    const std::vector<int32_t> out = some(p.shape.k, 0);
    // What is not listed must not be read: the reference sees zeros there, the kernel NaNs.
    Tensor poisoned = p.x.clone();
    const int64_t in_plane = p.shape.h * p.shape.w;
    for (int64_t channel = 0; channel < p.shape.c; ++channel) {
      if (channel % 3 == 1) continue;
      std::fill_n(p.x.data<float>() + channel * in_plane, in_plane, 0.0f);
      std::fill_n(poisoned.data<float>() + channel * in_plane, in_plane, std::nanf(""));
    }
    for (const std::string& target : simd_targets()) {
      set_simd_target(target);
      const DensePlanes planes(p.shape);
      Guarded x(poisoned);
      Guarded y(Tensor::full(p.out_shape(), 77.0));
      Tensor scratch = fresh_scratch(planes);
      planes.run_all({.x = x.data(),
                      .weight = p.weight.data<float>(),
                      .bias = p.bias.data<float>(),
                      .residual = p.residual.data<float>(),
                      .y = y.data()},
                     {in, out},
                     scratch.data<float>());
      EXPECT_TRUE(y.whole());
      Tensor result = y.inner(p.out_shape());
      // Channels that are not listed keep what was there; then they get what `expect` wants.
      const Tensor full = run(p, -kInfinity, kInfinity);
      const int64_t plane = p.shape.p * p.shape.q;
      for (int64_t i = 0; i < result.numel(); ++i) {
        if (i / plane % 3 == 0) continue;
        ASSERT_EQ(result.data<float>()[i], 77.0f) << c.name << ", " << target;
        result.data<float>()[i] = full.data<float>()[i];
      }
      p.expect(result, -kInfinity, kInfinity, cat(c.name, ", lists, ", target));
    }
  }
}

TEST_F(Conv2dPlanes, AnEmptyListOfInputsLeavesBiasAndResidual) {
  const PlanesProblem p({"", {1, 3, 8, 8}, {5, 3, 3, 3}, {.padding = 1}});
  const DensePlanes planes(p.shape);
  Guarded y(Tensor::zeros(p.out_shape()));
  Tensor scratch = fresh_scratch(planes);
  const int32_t nothing = 0;
  Guarded x(p.x);
  planes.run_all({.x = x.data(),
                  .weight = p.weight.data<float>(),
                  .bias = p.bias.data<float>(),
                  .residual = p.residual.data<float>(),
                  .y = y.data()},
                 {std::span<const int32_t>(&nothing, 0), {}},
                 scratch.data<float>());
  for (int64_t i = 0; i < p.residual.numel(); ++i) {
    const float expected = p.bias.data<float>()[i / 64] + p.residual.data<float>()[i];
    EXPECT_EQ(y.data()[i], expected) << i;
  }
}

}  // namespace
}  // namespace espalier
