// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <espalier/autograd/ops.h>

namespace espalier {
namespace {

Variable leaf(const Shape& shape, Layout layout = Layout::Nchw) {
  return Variable(Tensor::arange(shape.numel(), DType::F64).reshape(shape).to(layout), true);
}
std::vector<double> values_of(const Variable& v) {
  return v.value().to_vector<double>();
}

TEST(ToDtype, TheGradientComesBackInTheOldType) {
  const Variable a(Tensor::from<float>({2}, {0.5f, 0.25f}), true);
  const Variable b = to_dtype(a, DType::F64);
  EXPECT_EQ(b.dtype(), DType::F64);
  EXPECT_EQ(values_of(b), (std::vector<double>{0.5, 0.25}));
  sum(b * 3.0).backward();
  EXPECT_EQ(a.grad().dtype(), DType::F32);
  EXPECT_EQ(values_of(a.grad()), (std::vector<double>{3, 3}));
  EXPECT_THROW(to_dtype(a, DType::I64), TypeError);
}

TEST(ShapeOps, KeepSixteenLanesWhereTheyPromiseTo) {
  const Variable a = leaf({17, 4, 2}, Layout::Nchw16n);
  EXPECT_EQ(reshape(a, {17, 8}).layout(), Layout::Nchw16n);
  EXPECT_EQ(reshape(a, {-1, 8}).layout(), Layout::Nchw16n);
  EXPECT_EQ(flatten(a).layout(), Layout::Nchw16n);
  EXPECT_EQ(slice(a, 1, 1, 3).layout(), Layout::Nchw16n);
  EXPECT_EQ(concat({a, a}, 2).layout(), Layout::Nchw16n);
  EXPECT_EQ(pad(a, {{1, 1, 1}}).layout(), Layout::Nchw16n);
  EXPECT_EQ(split(a, {1, 3}, 1)[1].layout(), Layout::Nchw16n);
  EXPECT_EQ(index_select(a, 1, Tensor::from<int64_t>({1}, {2})).layout(), Layout::Nchw16n);
  EXPECT_EQ(softmax(a, 1).layout(), Layout::Nchw16n);
}

TEST(ShapeOps, ThatMoveSamplesReturnPlain) {
  const Variable a = leaf({17, 4, 2}, Layout::Nchw16n);
  EXPECT_EQ(reshape(a, {34, 4}).layout(), Layout::Nchw);
  EXPECT_EQ(permute(a, {1, 0, 2}).layout(), Layout::Nchw);
  EXPECT_EQ(slice(a, 0, 1, 3).layout(), Layout::Nchw);
  EXPECT_EQ(concat({a, a}, 0).layout(), Layout::Nchw);
  EXPECT_EQ(pad(a, {{0, 1, 0}}).layout(), Layout::Nchw);
}

TEST(Reshape, OfLanesCopiesNothing) {
  const Variable a = leaf({17, 4, 2}, Layout::Nchw16n);
  EXPECT_TRUE(flatten(a).value().shares_storage(a.value()));
}

TEST(Pad, FillsOutsideAndLeavesPaddingLanesZero) {
  for (Layout layout : {Layout::Nchw, Layout::Nchw16n}) {
    const Variable b = pad(leaf({1, 2}, layout), {{1, 1, 2}}, 7.0);
    EXPECT_EQ(values_of(b), (std::vector<double>{7, 0, 1, 7, 7}));
    if (layout == Layout::Nchw16n) {
      double total = 0;
      for (double v : b.value().physical().to_vector<double>()) total += v;
      EXPECT_EQ(total, 22.0);
    }
  }
  EXPECT_THROW(pad(leaf({1, 2}), {{1, -1, 0}}), ShapeError);
  EXPECT_THROW(pad(leaf({1, 2}), {{2, 1, 0}}), ShapeError);
}

TEST(Slice, TakesEveryStep) {
  for (Layout layout : {Layout::Nchw, Layout::Nchw16n}) {
    const Variable a = leaf({1, 5}, layout);
    const Variable b = slice(a, 1, 1, 5, 2);
    EXPECT_EQ(values_of(b), (std::vector<double>{1, 3}));
    sum(b).backward();
    EXPECT_EQ(values_of(a.grad()), (std::vector<double>{0, 1, 0, 1, 0}));
    EXPECT_EQ(a.grad().layout(), layout);
  }
  EXPECT_THROW(slice(leaf({1, 5}), 1, 3, 6), ShapeError);
}

TEST(Concat, JoinsAndNamesWhatDoesNotFit) {
  EXPECT_EQ(values_of(concat({leaf({2, 1}), leaf({2, 2})}, 1)),
            (std::vector<double>{0, 0, 1, 1, 2, 3}));
  EXPECT_EQ(values_of(concat({leaf({1, 2}), leaf({2, 2})}, 0)),
            (std::vector<double>{0, 1, 0, 1, 2, 3}));
  EXPECT_THROW(concat({leaf({2, 1}), leaf({3, 1})}, 1), ShapeError);
  EXPECT_THROW(concat({leaf({2, 1}), leaf({2})}, 1), ShapeError);
  EXPECT_THROW(concat({}, 0), ValueError);
  EXPECT_THROW(concat({leaf({2}), Variable(Tensor::zeros({2}))}, 0), TypeError);
}

TEST(Split, GivesBackWhatConcatJoined) {
  const Variable a = leaf({2, 5});
  const auto pieces = split(a, {2, 0, 3}, 1);
  EXPECT_EQ(values_of(pieces[0]), (std::vector<double>{0, 1, 5, 6}));
  EXPECT_EQ(pieces[1].shape(), Shape({2, 0}));
  EXPECT_EQ(values_of(concat(pieces, 1)), values_of(a));
  EXPECT_THROW(split(a, {2, 2}, 1), ShapeError);
}

TEST(Permute, MovesDimensions) {
  const Variable a = leaf({2, 3});
  EXPECT_EQ(values_of(transpose(a, 0, 1)), (std::vector<double>{0, 3, 1, 4, 2, 5}));
  EXPECT_THROW(permute(a, {0, 0}), ShapeError);
  EXPECT_THROW(permute(a, {0}), ShapeError);
}

TEST(Expand, RepeatsAndSumsBack) {
  const Variable a = leaf({2, 1});
  const Variable b = expand(a, {2, 3});
  EXPECT_EQ(values_of(b), (std::vector<double>{0, 0, 0, 1, 1, 1}));
  sum(b).backward();
  EXPECT_EQ(values_of(a.grad()), (std::vector<double>{3, 3}));
  EXPECT_THROW(expand(a, {3, 3}), ShapeError);
}

}  // namespace
}  // namespace espalier
