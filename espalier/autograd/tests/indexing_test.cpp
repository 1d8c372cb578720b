// SPDX-License-Identifier: Apache-2.0
// Ops that pick elements by index: gather, scatter_add, index_select, index_add, topk, embedding.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include <espalier/autograd/ops.h>

namespace espalier {
namespace {

Variable leaf(const Shape& shape, const std::vector<double>& values) {
  return Variable(Tensor::from(shape, values), true);
}
Tensor index(const Shape& shape, const std::vector<int64_t>& values) {
  return Tensor::from(shape, values);
}
std::vector<double> values_of(const Variable& v) {
  return v.value().to_vector<double>();
}

/// What `f` says when it throws ValueError.
template <class F>
std::string value_error(F f) {
  try {
    f();
  } catch (const ValueError& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(Gather, ReadsAlongOneDimension) {
  const Variable a = leaf({2, 3}, {1, 2, 3, 4, 5, 6});
  EXPECT_EQ(values_of(gather(a, 1, index({2, 2}, {2, 0, 1, 1}))),
            (std::vector<double>{3, 1, 5, 5}));
  EXPECT_EQ(values_of(gather(a, 0, index({1, 3}, {1, 0, 1}))), (std::vector<double>{4, 2, 6}));
}

TEST(Gather, TheGradientCountsHowOftenAnElementWasRead) {
  const Variable a = leaf({2, 3}, {1, 2, 3, 4, 5, 6});
  sum(gather(a, 1, index({2, 2}, {2, 0, 1, 1}))).backward();
  EXPECT_EQ(values_of(a.grad()), (std::vector<double>{1, 0, 1, 0, 2, 0}));
}

TEST(ScatterAdd, AddsWhatFallsOnOnePlace) {
  const Variable a = leaf({2, 2}, {1, 2, 3, 4});
  EXPECT_EQ(values_of(scatter_add(a, 1, index({2, 2}, {0, 0, 2, 0}), {2, 3})),
            (std::vector<double>{3, 0, 0, 4, 0, 3}));
}

TEST(Gather, AnIndexOutOfRangeIsNamed) {
  const Variable a = leaf({1, 3}, {1, 2, 3});
  const std::string text = value_error([&] { gather(a, 1, index({1, 2}, {0, 3})); });
  EXPECT_NE(text.find("index[1]"), std::string::npos) << text;
  EXPECT_NE(text.find("is 3"), std::string::npos) << text;
  EXPECT_NE(value_error([&] {
              scatter_add(a, 1, index({1, 3}, {0, -1, 0}), {1, 3});
            }).find("is -1"),
            std::string::npos);
  EXPECT_THROW(gather(a, 1, index({3}, {0, 0, 0})), ShapeError);
  EXPECT_THROW(gather(a, 1, Tensor::zeros({1, 1})), TypeError);
}

TEST(IndexSelect, RepeatsAndReordersSlices) {
  const Variable a = leaf({3, 2}, {1, 2, 3, 4, 5, 6});
  const Variable b = index_select(a, 0, index({3}, {2, 0, 2}));
  EXPECT_EQ(values_of(b), (std::vector<double>{5, 6, 1, 2, 5, 6}));
  sum(b).backward();
  EXPECT_EQ(values_of(a.grad()), (std::vector<double>{1, 1, 0, 0, 2, 2}));
  EXPECT_NE(value_error([&] { index_select(a, 0, index({1}, {3})); }).find("index[0] is 3"),
            std::string::npos);
}

TEST(IndexAdd, SpreadsSlicesOverZeros) {
  EXPECT_EQ(values_of(index_add(leaf({2, 2}, {1, 2, 3, 4}), 1, index({2}, {2, 2}), 3)),
            (std::vector<double>{0, 0, 3, 0, 0, 7}));
}

TEST(TopK, TiesGoToTheLowerIndex) {
  const TopK top = topk(leaf({6}, {3, 7, 7, 1, 7, 3}), 4);
  EXPECT_EQ(values_of(top.values), (std::vector<double>{7, 7, 7, 3}));
  EXPECT_EQ(top.indices.to_vector<int64_t>(), (std::vector<int64_t>{1, 2, 4, 0}));
}

TEST(TopK, WorksAlongAnyDimension) {
  const TopK top = topk(leaf({3, 2}, {1, 9, 5, 8, 3, 7}), 2, 0);
  EXPECT_EQ(values_of(top.values), (std::vector<double>{5, 9, 3, 8}));
  EXPECT_EQ(top.indices.to_vector<int64_t>(), (std::vector<int64_t>{1, 0, 2, 1}));
}

TEST(TopK, TheGradientGoesToTheChosen) {
  const Variable a = leaf({5}, {3, 7, 7, 1, 7});
  sum(topk(a, 2).values).backward();
  EXPECT_EQ(values_of(a.grad()), (std::vector<double>{0, 1, 1, 0, 0}));
}

TEST(TopK, InfinityAndNanComeFirst) {
  const double inf = std::numeric_limits<double>::infinity();
  const TopK top = topk(leaf({4}, {-inf, inf, std::nan(""), 0}), 4);
  EXPECT_EQ(top.indices.to_vector<int64_t>(), (std::vector<int64_t>{2, 1, 3, 0}));
}

TEST(TopK, MoreThanThereIsIsAnError) {
  EXPECT_THROW(topk(leaf({2}, {1, 2}), 3), ValueError);
  EXPECT_THROW(topk(leaf({2}, {1, 2}), -1), ValueError);
}

TEST(Embedding, LooksUpRows) {
  const Variable table = leaf({3, 2}, {1, 2, 3, 4, 5, 6});
  const Variable rows = embedding(table, index({2, 2}, {2, 0, 2, 2}));
  EXPECT_EQ(rows.shape(), Shape({2, 2, 2}));
  EXPECT_EQ(values_of(rows), (std::vector<double>{5, 6, 1, 2, 5, 6, 5, 6}));
  sum(rows).backward();
  EXPECT_EQ(values_of(table.grad()), (std::vector<double>{1, 1, 0, 0, 3, 3}));
}

TEST(Embedding, AnIdOutOfRangeIsNamed) {
  const Variable table = leaf({3, 2}, {1, 2, 3, 4, 5, 6});
  for (int64_t bad : {int64_t{3}, int64_t{-1}}) {
    const std::string text = value_error([&] { embedding(table, index({2}, {0, bad})); });
    EXPECT_NE(text.find(cat("ids[1] (flat) is ", bad)), std::string::npos) << text;
  }
  EXPECT_THROW(embedding(table, Tensor::zeros({2})), TypeError);
}

}  // namespace
}  // namespace espalier
