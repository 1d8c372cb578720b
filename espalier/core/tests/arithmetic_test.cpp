// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/arithmetic.h>

#include <cmath>

#include <gtest/gtest.h>

namespace espalier {
namespace {

using Floats = std::vector<float>;

Tensor row(const Floats& values) {
  return Tensor::from<float>({static_cast<int64_t>(values.size())}, values);
}

TEST(Arithmetic, ActsElementByElement) {
  const Tensor a = row({6, 8, -3});
  const Tensor b = row({2, -4, 1});
  EXPECT_EQ((a + b).to_vector<float>(), (Floats{8, 4, -2}));
  EXPECT_EQ((a - b).to_vector<float>(), (Floats{4, 12, -4}));
  EXPECT_EQ((a * b).to_vector<float>(), (Floats{12, -32, -3}));
  EXPECT_EQ((a / b).to_vector<float>(), (Floats{3, -2, -3}));
  EXPECT_EQ((-a).to_vector<float>(), (Floats{-6, -8, 3}));
  EXPECT_EQ(a.to_vector<float>(), (Floats{6, 8, -3}));
}

TEST(Arithmetic, TakesNumbersOnBothSides) {
  const Tensor a = row({4, 8});
  EXPECT_EQ((a + 0.5).to_vector<float>(), (Floats{4.5, 8.5}));
  EXPECT_EQ((a - 1).to_vector<float>(), (Floats{3, 7}));
  EXPECT_EQ((a * 2).to_vector<float>(), (Floats{8, 16}));
  EXPECT_EQ((a / 2).to_vector<float>(), (Floats{2, 4}));
  EXPECT_EQ((1 + a).to_vector<float>(), (Floats{5, 9}));
  EXPECT_EQ((1 - a).to_vector<float>(), (Floats{-3, -7}));
  EXPECT_EQ((2 * a).to_vector<float>(), (Floats{8, 16}));
  EXPECT_EQ((16 / a).to_vector<float>(), (Floats{4, 2}));
}

TEST(Arithmetic, Broadcasts) {
  const Tensor column = Tensor::from<double>({2, 1}, {10, 20});
  const Tensor line = Tensor::from<double>({3}, {1, 2, 3});
  const Tensor sum = column + line;
  EXPECT_EQ(sum.shape(), (Shape{2, 3}));
  EXPECT_EQ(sum.to_vector<double>(), (std::vector<double>{11, 12, 13, 21, 22, 23}));
  EXPECT_THROW(line + Tensor::ones({2}, DType::F64), ShapeError);
  EXPECT_EQ((Tensor::ones({0, 3}) + Tensor::ones({3})).shape(), (Shape{0, 3}));
}

TEST(Arithmetic, KeepsTheLanesAndTheirPadding) {
  const Tensor plain = Tensor::arange(34, DType::F32).reshape({17, 2});
  const Tensor lanes = plain.to(Layout::Nchw16n);
  const Tensor out = (lanes + 1.0) * lanes - plain / 2.0;
  EXPECT_EQ(out.layout(), Layout::Nchw16n);
  for (int64_t i = 0; i < 34; ++i) {
    EXPECT_EQ(out.at({i / 2, i % 2}), (i + 1.0) * i - i / 2.0);
  }
  double all = 0.0;
  for (const float x : out.physical().to_vector<float>()) all += x;
  double logical = 0.0;
  for (const float x : out.to_vector<float>()) logical += x;
  EXPECT_EQ(all, logical);  // nothing in the lanes beyond the samples
}

TEST(Arithmetic, ReadsStridedViews) {
  const Tensor a = Tensor::arange(6, DType::F32).reshape({2, 3});
  EXPECT_EQ((a.transpose(0, 1) - a.slice(1, 0, 2).transpose(0, 1).slice(1, 0, 1).slice(0, 0, 1))
                .to_vector<float>(),
            (Floats{0, 3, 1, 4, 2, 5}));
}

TEST(Arithmetic, ElementTypesMustBeTheSameAndWholeOnesStayWhole) {
  const Tensor whole = Tensor::from<int64_t>({2}, {7, -2});
  EXPECT_EQ((whole * 3 + whole).to_vector<int64_t>(), (std::vector<int64_t>{28, -8}));
  EXPECT_THROW(whole + row({1, 2}), TypeError);
  EXPECT_THROW(whole + 0.5, TypeError);
  EXPECT_THROW(whole / whole, TypeError);
  EXPECT_THROW(whole / 2, TypeError);
  EXPECT_THROW(-Tensor::ones({1}, DType::U8), TypeError);
  EXPECT_THROW(Tensor::ones({1}, DType::U8) + 256, TypeError);
  EXPECT_THROW(Tensor::ones({1}, DType::I32) + 2147483648.0, TypeError);
  EXPECT_THROW(Tensor::ones({1}, DType::I64) + 9223372036854775808.0, TypeError);
}

TEST(Equal, ComparesShapesTypesAndNumbersInAnyLayout) {
  const Tensor a = Tensor::arange(6, DType::F32).reshape({3, 2});
  EXPECT_TRUE(equal(a, a.to(Layout::Nchw16n)));
  EXPECT_TRUE(equal(a, a.transpose(0, 1).contiguous().transpose(0, 1)));
  EXPECT_FALSE(equal(a, a + 1));
  EXPECT_FALSE(equal(a, a.reshape({2, 3})));
  EXPECT_FALSE(equal(a, a.to(DType::F64)));
  EXPECT_FALSE(equal(row({NAN}), row({NAN})));
  // Two numbers that are one as float64.
  EXPECT_FALSE(equal(Tensor::from<int64_t>({1}, {9007199254740993}),
                     Tensor::from<int64_t>({1}, {9007199254740992})));
}

TEST(AllClose, IsTorchsRule) {
  const Tensor b = Tensor::from<double>({2}, {100.0, 0.0});
  const auto moved = [](double x, double y) { return Tensor::from<double>({2}, {x, y}); };
  EXPECT_TRUE(all_close(moved(100.0009, 9e-9), b));
  EXPECT_FALSE(all_close(moved(100.0011, 0.0), b));
  EXPECT_FALSE(all_close(moved(100.0, 2e-8), b));
  EXPECT_TRUE(all_close(moved(101.0, 0.5), b, {.rtol = 0.0, .atol = 1.0}));
  EXPECT_TRUE(all_close(moved(INFINITY, 0.0), moved(INFINITY, 0.0)));
  EXPECT_FALSE(all_close(moved(INFINITY, 0.0), moved(-INFINITY, 0.0)));
  EXPECT_FALSE(all_close(moved(1.0, 0.0), moved(INFINITY, 0.0)));
  EXPECT_FALSE(all_close(row({NAN}), row({NAN})));
  EXPECT_TRUE(all_close(row({NAN}), row({NAN}), {.equal_nan = true}));
  EXPECT_TRUE(all_close(row({1, 2}), moved(1, 2)));
  EXPECT_THROW(all_close(row({1}), row({1, 2})), ShapeError);
}

TEST(Argmax, IsTheFirstOfTheLargest) {
  const Tensor a = Tensor::from<float>({2, 3}, {1, 5, 5, 7, 2, 7});
  const auto places = [](const Tensor& t) { return t.to_vector<int64_t>(); };
  using Places = std::vector<int64_t>;
  EXPECT_EQ(argmax(a).item(), 3);
  EXPECT_EQ(places(argmax(a, 1)), (Places{1, 0}));
  EXPECT_EQ(places(argmax(a, 0)), (Places{1, 0, 1}));
  EXPECT_EQ(places(argmax(a, -1)), (Places{1, 0}));
  EXPECT_EQ(places(argmax(a.transpose(0, 1), 0)), (Places{1, 0}));
  EXPECT_EQ(places(argmax(a.to(Layout::Nchw16n), 1)), (Places{1, 0}));
  EXPECT_EQ(argmax(a, 1, true).shape(), (Shape{2, 1}));
  EXPECT_EQ(argmax(a, std::nullopt, true).shape(), (Shape{1, 1}));
  EXPECT_EQ(argmax(row({1, NAN, 3})).item(), 1);
  EXPECT_EQ(argmax(Tensor::from<uint8_t>({3}, {1, 200, 3})).item(), 1);
  EXPECT_EQ(argmax(Tensor::ones({0, 3}), 1).shape(), Shape{0});
  EXPECT_THROW(argmax(Tensor::ones({0, 3}), 0), ValueError);
  EXPECT_THROW(argmax(a, 2), ShapeError);
}

TEST(Argmax, OfAMiddleDimensionGoesThroughAllRows) {
  Tensor a = Tensor::zeros({2, 4, 3});
  for (int64_t i = 0; i < 2; ++i) {
    for (int64_t k = 0; k < 3; ++k) set_item(a, {i, (i + k) % 4, k}, 1.0);
  }
  EXPECT_EQ(argmax(a, 1).to_vector<int64_t>(), (std::vector<int64_t>{0, 1, 2, 1, 2, 3}));
}

TEST(SetItem, WritesWhatAtReadsInAnyLayout) {
  for (const Layout layout : {Layout::Nchw, Layout::Nchw16n}) {
    Tensor a = Tensor::zeros({18, 2}, DType::F32, layout);
    set_item(a, {17, 1}, 2.5);
    set_item(a, {0, 0}, -1.0);
    EXPECT_EQ(a.at({17, 1}), 2.5);
    EXPECT_EQ(a.at({0, 0}), -1.0);
    EXPECT_EQ(a.at({17, 0}), 0.0);
    EXPECT_THROW(set_item(a, {18, 0}, 1.0), ShapeError);
    EXPECT_THROW(set_item(a, {0}, 1.0), ShapeError);
  }
  Tensor whole = Tensor::zeros({2}, DType::I32);
  Tensor view = whole.slice(0, 1, 2);
  set_item(view, {0}, 3);
  EXPECT_EQ(whole.at({1}), 3.0);
  EXPECT_THROW(set_item(whole, {0}, 0.5), TypeError);
}

}  // namespace
}  // namespace espalier
