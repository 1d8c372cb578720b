// SPDX-License-Identifier: Apache-2.0
// Every 1009th float32 against float64: distance in units of the last place, and the same bits on
// every instruction set.
#include <espalier/core/kernels/vector_math.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include <espalier/core/simd.h>

namespace espalier {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
// Half a unit is the rounding itself. GELU's and the softplus's results below the normal numbers
// are halves of subnormal inputs: ties, which the last digits of float64 decide.
constexpr double kUnits = 0.501;

constexpr VectorFunction kFunctions[] = {VectorFunction::Exp,
                                         VectorFunction::Log,
                                         VectorFunction::Tanh,
                                         VectorFunction::Sigmoid,
                                         VectorFunction::Softplus,
                                         VectorFunction::NormalCdf,
                                         VectorFunction::Gelu,
                                         VectorFunction::GeluTanh,
                                         VectorFunction::Silu};
constexpr VectorGradient kGradients[] = {
    VectorGradient::Softplus, VectorGradient::Gelu, VectorGradient::GeluTanh, VectorGradient::Silu};

std::vector<float> every_1009th() {
  std::vector<float> all;
  for (uint64_t bits = 0; bits < (1ull << 32); bits += 1009) {
    const auto word = static_cast<uint32_t>(bits);
    float x;
    std::memcpy(&x, &word, sizeof x);
    all.push_back(x);
  }
  for (const float x : {0.0f, -0.0f, kInf, -kInf, 1.0f, -1.0f, 88.722839f, 88.722847f, -103.97f}) {
    all.push_back(x);
  }
  return all;
}

class VectorMath : public ::testing::Test {
 protected:
  void TearDown() override { set_simd_target(""); }
  static const std::vector<float>& numbers() {
    static const std::vector<float> all = every_1009th();
    return all;
  }
  template <class F>
  static std::vector<float> results(F f) {
    std::vector<float> y(numbers().size());
    const auto n = static_cast<int64_t>(y.size());
    if constexpr (std::is_same_v<F, VectorFunction>) {
      vector_map(f, numbers().data(), y.data(), n);
    } else {
      const std::vector<float> ones(y.size(), 1.0f);
      vector_map(f, ones.data(), numbers().data(), y.data(), n);
    }
    return y;
  }
};

// The distance between neighbours of float32 at |x|.
double unit(double x) {
  const float size = std::abs(static_cast<float>(x));
  return static_cast<double>(std::nextafter(size, kInf)) - static_cast<double>(size);
}

TEST_F(VectorMath, IsRoundedFromTheFloat64Value) {
  for (const VectorFunction f : kFunctions) {
    const std::vector<float> y = results(f);
    for (size_t i = 0; i < y.size(); ++i) {
      const double x = numbers()[i];
      const double exact = reference::vector_map(f, x);
      const auto expected = static_cast<float>(exact);
      if (std::isnan(exact)) {
        ASSERT_TRUE(std::isnan(y[i])) << static_cast<int>(f) << " of " << x;
      } else if (std::isinf(expected)) {
        ASSERT_EQ(y[i], expected) << static_cast<int>(f) << " of " << x;
      } else {
        ASSERT_LE(std::abs(static_cast<double>(y[i]) - exact), kUnits * unit(exact))
            << static_cast<int>(f) << " of " << x;
      }
    }
  }
}

// The larger term of a gradient.
double share(VectorGradient f, double x) {
  switch (f) {
    case VectorGradient::Softplus:
      return 0.0;
    case VectorGradient::Gelu:
      return reference::vector_map(VectorFunction::NormalCdf, x);
    case VectorGradient::GeluTanh:
      return 0.5 + 0.5 * std::tanh(std::sqrt(2.0 / std::acos(-1.0)) * (x + 0.044715 * x * x * x));
    case VectorGradient::Silu:
      return reference::vector_map(VectorFunction::Sigmoid, x);
  }
  return 0.0;
}

TEST_F(VectorMath, GradientsAreExactBesideTheirLargestTerm) {
  for (const VectorGradient f : kGradients) {
    const std::vector<float> y = results(f);
    for (size_t i = 0; i < y.size(); ++i) {
      const double x = numbers()[i];
      const double exact = reference::vector_map(f, 1.0, x);
      if (std::isnan(exact)) {
        ASSERT_TRUE(std::isnan(y[i])) << static_cast<int>(f) << " of " << x;
        continue;
      }
      // GELU's Phi(x) + x phi(x) vanishes at -0.75, where its terms do not, and so do the others.
      const double term = 4e-11 * share(f, x) + 4e-11 * std::abs(exact);
      ASSERT_LE(std::abs(static_cast<double>(y[i]) - exact), kUnits * unit(exact) + term)
          << static_cast<int>(f) << " of " << x;
    }
  }
}

TEST_F(VectorMath, GivesTheSameBitsOnEveryInstructionSet) {
  const auto expect_same = [](auto f) {
    set_simd_target("");
    const std::vector<float> best = results(f);
    for (const std::string& target : simd_targets()) {
      set_simd_target(target);
      const std::vector<float> other = results(f);
      EXPECT_EQ(std::memcmp(best.data(), other.data(), best.size() * sizeof(float)), 0)
          << target << ", function " << static_cast<int>(f);
    }
  };
  for (const VectorFunction f : kFunctions) expect_same(f);
  for (const VectorGradient f : kGradients) expect_same(f);
}

TEST_F(VectorMath, AnElementsBitsDoNotDependOnItsPlace) {
  std::vector<float> x(67);
  for (size_t i = 0; i < x.size(); ++i) x[i] = 0.004f + 0.123f * static_cast<float>(i);
  for (const VectorFunction f : kFunctions) {
    std::vector<float> together(x.size());
    vector_map(f, x.data(), together.data(), static_cast<int64_t>(x.size()));
    for (size_t i = 0; i < x.size(); ++i) {
      float alone = 0.0f;
      vector_map(f, x.data() + i, &alone, 1);
      EXPECT_EQ(alone, together[i]);
    }
    std::vector<float> in_place = x;
    vector_map(f, in_place.data(), in_place.data(), static_cast<int64_t>(x.size()));
    EXPECT_EQ(in_place, together);
  }
}

TEST_F(VectorMath, HandWorkedLimits) {
  const auto of = [](VectorFunction f, float x) {
    float y = 0.0f;
    vector_map(f, &x, &y, 1);
    return y;
  };
  EXPECT_EQ(of(VectorFunction::Exp, -kInf), 0.0f);
  EXPECT_EQ(of(VectorFunction::Exp, kInf), kInf);
  EXPECT_EQ(of(VectorFunction::Exp, 0.0f), 1.0f);
  EXPECT_EQ(of(VectorFunction::Log, 0.0f), -kInf);
  EXPECT_EQ(of(VectorFunction::Log, 1.0f), 0.0f);
  EXPECT_TRUE(std::isnan(of(VectorFunction::Log, -1.0f)));
  EXPECT_EQ(of(VectorFunction::Tanh, kInf), 1.0f);
  EXPECT_EQ(of(VectorFunction::Tanh, -kInf), -1.0f);
  EXPECT_TRUE(std::signbit(of(VectorFunction::Tanh, -0.0f)));
  EXPECT_EQ(of(VectorFunction::Sigmoid, -kInf), 0.0f);
  EXPECT_EQ(of(VectorFunction::Sigmoid, 0.0f), 0.5f);
  EXPECT_EQ(of(VectorFunction::Softplus, kInf), kInf);
  EXPECT_EQ(of(VectorFunction::Gelu, kInf), kInf);
  EXPECT_EQ(of(VectorFunction::Gelu, -100.0f), 0.0f);
  for (const VectorFunction f : {VectorFunction::GeluTanh, VectorFunction::Silu}) {
    EXPECT_EQ(of(f, kInf), kInf);
    EXPECT_TRUE(std::isnan(of(f, -kInf)));
    EXPECT_EQ(of(f, -1e38f), 0.0f);
    EXPECT_TRUE(std::signbit(of(f, -0.0f)));
  }
  // silu(1) = 1 / (1 + 1/e).
  EXPECT_EQ(of(VectorFunction::Silu, 1.0f), 0.731058578630f);
}

}  // namespace
}  // namespace espalier
