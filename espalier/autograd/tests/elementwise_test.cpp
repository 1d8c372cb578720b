// SPDX-License-Identifier: Apache-2.0
// Hand-worked values of element-wise ops: kinks, ties, extremes, errors. The op suite has the rest.
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include <espalier/autograd/ops.h>

namespace espalier {
namespace {

using Values = std::vector<double>;
constexpr double kInf = std::numeric_limits<double>::infinity();
const double kNan = std::nan("");

Variable leaf(const Values& values) {
  return Variable(Tensor::from({static_cast<int64_t>(values.size())}, values), true);
}
Values of(const Variable& v) {
  return v.value().to_vector<double>();
}
// The gradient of the sum.
Values slope(const Variable& y, const Variable& x) {
  return of(grad({sum(y)}, {x})[0]);
}

TEST(Relu, HasSlopeZeroAtZero) {
  const Variable x = leaf({-2, 0, 3});
  EXPECT_EQ(of(relu(x)), (Values{0, 0, 3}));
  EXPECT_EQ(slope(relu(x), x), (Values{0, 0, 1}));
}

TEST(Relu, DoesNotHideNan) {
  EXPECT_TRUE(std::isnan(of(relu(leaf({kNan})))[0]));
}

TEST(Abs, HasSlopeZeroAtZero) {
  const Variable x = leaf({-2, 0, 3});
  EXPECT_EQ(of(abs(x)), (Values{2, 0, 3}));
  EXPECT_EQ(slope(abs(x), x), (Values{-1, 0, 1}));
}

TEST(Sign, IsFlat) {
  const Variable x = leaf({-2, 0, 3});
  EXPECT_EQ(of(sign(x)), (Values{-1, 0, 1}));
  EXPECT_EQ(slope(sign(x), x), (Values{0, 0, 0}));
}

TEST(Clamp, PassesTheGradientInsideAndOnTheLimits) {
  const Variable x = leaf({-2, -1, 0, 1, 2});
  EXPECT_EQ(of(clamp(x, -1, 1)), (Values{-1, -1, 0, 1, 1}));
  EXPECT_EQ(slope(clamp(x, -1, 1), x), (Values{0, 1, 1, 1, 0}));
  EXPECT_THROW(clamp(x, 1, -1), ValueError);
}

TEST(MinimumAndMaximum, ShareTheGradientOfTies) {
  const Variable a = leaf({1, 2, 5});
  const Variable b = leaf({1, 4, 3});
  EXPECT_EQ(of(minimum(a, b)), (Values{1, 2, 3}));
  EXPECT_EQ(of(maximum(a, b)), (Values{1, 4, 5}));
  EXPECT_EQ(slope(minimum(a, b), a), (Values{0.5, 1, 0}));
  EXPECT_EQ(slope(minimum(a, b), b), (Values{0.5, 0, 1}));
  EXPECT_EQ(slope(maximum(a, b), a), (Values{0.5, 0, 1}));
  EXPECT_EQ(slope(maximum(a, b), b), (Values{0.5, 1, 0}));
}

TEST(MinimumAndMaximum, DoNotHideNan) {
  const Variable a = leaf({kNan, 1});
  const Variable b = leaf({1, kNan});
  for (const Variable& y : {minimum(a, b), maximum(a, b)}) {
    EXPECT_TRUE(std::isnan(of(y)[0]) && std::isnan(of(y)[1]));
  }
}

TEST(Pow, HasTheSlopesOfItsSpecialExponents) {
  const Variable x = leaf({-2, 0, 3});
  EXPECT_EQ(of(pow(x, 2)), (Values{4, 0, 9}));
  EXPECT_EQ(slope(pow(x, 2), x), (Values{-4, 0, 6}));
  EXPECT_EQ(of(pow(x, 3)), (Values{-8, 0, 27}));
  EXPECT_EQ(slope(pow(x, 3), x), (Values{12, 0, 27}));
  EXPECT_EQ(of(pow(x, 0)), (Values{1, 1, 1}));
  EXPECT_EQ(slope(pow(x, 0), x), (Values{0, 0, 0}));
  EXPECT_EQ(slope(pow(x, 1), x), (Values{1, 1, 1}));
}

TEST(Pow, DiffersInBaseAndExponent) {
  const Variable a = leaf({2, 4});
  const Variable b = leaf({3, 0.5});
  EXPECT_EQ(of(pow(a, b)), (Values{8, 2}));
  EXPECT_EQ(slope(pow(a, b), a), (Values{12, 0.25}));
  const Values db = slope(pow(a, b), b);
  EXPECT_DOUBLE_EQ(db[0], 8 * std::log(2.0));
  EXPECT_DOUBLE_EQ(db[1], 2 * std::log(4.0));
}

TEST(Sigmoid, IsFiniteFarFromZero) {
  const Variable x = leaf({-1000, 0, 1000});
  EXPECT_EQ(of(sigmoid(x)), (Values{0, 0.5, 1}));
  EXPECT_EQ(slope(sigmoid(x), x), (Values{0, 0.25, 0}));
}

TEST(Softplus, DoesNotOverflow) {
  const Variable x = leaf({-1000, 0, 1000});
  const Values y = of(softplus(x));
  EXPECT_EQ(y[0], 0);
  EXPECT_DOUBLE_EQ(y[1], std::log(2.0));
  EXPECT_EQ(y[2], 1000);
  EXPECT_EQ(slope(softplus(x), x), (Values{0, 0.5, 1}));
}

TEST(Gelu, IsNearlyTheIdentityFarRightAndKeepsItsTailFarLeft) {
  const Values y = of(gelu(leaf({10, 0, -10})));
  EXPECT_DOUBLE_EQ(y[0], 10);
  EXPECT_EQ(y[1], 0);
  // -10 * erfc(10 / sqrt 2) / 2; Phi(-10) = 7.6198530241605e-24 (tables of the normal
  // distribution).
  EXPECT_NEAR(y[2] / 7.6198530241605e-23, -1, 1e-12);
}

TEST(Div, FollowsFloatingPointByZero) {
  EXPECT_EQ(of(leaf({1, -1}) / leaf({0, 0})), (Values{kInf, -kInf}));
}

TEST(Where, ChoosesAndRoutesTheGradient) {
  const Tensor condition = Tensor::from<uint8_t>({3}, {1, 0, 7});
  const Variable a = leaf({1, 2, 3});
  const Variable b = leaf({10, 20, kNan});
  EXPECT_EQ(of(where(condition, a, b)), (Values{1, 20, 3}));
  EXPECT_EQ(slope(where(condition, a, b), a), (Values{1, 0, 1}));
  EXPECT_EQ(slope(where(condition, a, b), b), (Values{0, 1, 0}));
  EXPECT_THROW(where(Tensor::ones({3}), a, b), TypeError);
}

TEST(Elementwise, SumsTheGradientOverWhatWasBroadcast) {
  const Variable a(Tensor::from<double>({2, 3}, {1, 2, 3, 4, 5, 6}), true);
  const Variable b = leaf({1, 10, 100});
  EXPECT_EQ(slope(a * b, b), (Values{5, 7, 9}));
  EXPECT_EQ(slope(a - b, b), (Values{-2, -2, -2}));
}

TEST(Elementwise, SaysWhatDoesNotFit) {
  const Variable a = leaf({1, 2, 3});
  EXPECT_THROW(a - leaf({1, 2}), ShapeError);
  const Variable narrow(Tensor::ones({3}));
  for (const auto& op : {+[](const Variable&x, const Variable&y) { return sub(x, y); },
                         +[](const Variable&x, const Variable&y) { return div(x, y); },
                         +[](const Variable&x, const Variable&y) { return maximum(x, y); }}) {
    EXPECT_THROW(op(a, narrow), TypeError);
  }
  EXPECT_THROW(exp(Variable(Tensor::arange(3))), TypeError);
}

TEST(SignSte, CountsZeroAsOneAndPassesTheGradientUpToOne) {
  const Variable x = leaf({-2, -1, -0.5, 0, 1, 1.5});
  EXPECT_EQ(of(sign_ste(x)), (Values{-1, -1, -1, 1, 1, 1}));
  EXPECT_EQ(slope(sign_ste(x), x), (Values{0, 1, 1, 1, 1, 0}));
}

TEST(StepSte, PassesTheGradientUnchanged) {
  const Variable x = leaf({-2, 0, 3});
  EXPECT_EQ(of(step_ste(x)), (Values{0, 1, 1}));
  EXPECT_EQ(slope(step_ste(x) * leaf({5, 6, 7}), x), (Values{5, 6, 7}));
}

TEST(RoundSte, RoundsHalvesToEven) {
  const Variable x = leaf({-1.5, -0.5, 0.5, 1.5, 2.5, 2.6});
  EXPECT_EQ(of(round_ste(x)), (Values{-2, 0, 0, 2, 2, 3}));
  EXPECT_EQ(slope(round_ste(x), x), Values(6, 1.0));
}

TEST(MaskSte, PassesTheGradientToMaskedPositionsToo) {
  const Variable x = leaf({1, 2, kNan});
  const Tensor mask = Tensor::from<uint8_t>({3}, {1, 0, 0});
  EXPECT_EQ(of(mask_ste(x, mask)), (Values{1, 0, 0}));
  EXPECT_EQ(slope(mask_ste(x, mask) * leaf({5, 6, 7}), x), (Values{5, 6, 7}));
  EXPECT_THROW(mask_ste(x, Tensor::ones({3})), TypeError);
  EXPECT_THROW(mask_ste(x, Tensor::ones({2}, DType::U8)), ShapeError);
}

}  // namespace
}  // namespace espalier
