// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/shape.h>

#include <gtest/gtest.h>

#include <espalier/core/error.h>

namespace espalier {
namespace {

TEST(Shape, KnowsItsSizes) {
  const Shape shape{8, 3, 32, 16};
  EXPECT_EQ(shape.rank(), 4);
  EXPECT_EQ(shape.numel(), 8 * 3 * 32 * 16);
  EXPECT_EQ(shape.size(1), 3);
  EXPECT_EQ(shape.size(-1), 16);
  EXPECT_EQ(shape.str(), "(8,3,32,16)");
}

TEST(Shape, OfAScalarIsEmptyAndHasOneElement) {
  const Shape shape;
  EXPECT_TRUE(shape.empty());
  EXPECT_EQ(shape.numel(), 1);
  EXPECT_EQ(shape.str(), "()");
}

TEST(Shape, EditsGiveNewShapes) {
  const Shape shape{2, 3, 4};
  EXPECT_EQ(shape.with(1, 9), (Shape{2, 9, 4}));
  EXPECT_EQ(shape.with(-1, 9), (Shape{2, 3, 9}));
  EXPECT_EQ(shape.without(0), (Shape{3, 4}));
  EXPECT_EQ(shape.inserted(0, 7), (Shape{7, 2, 3, 4}));
  EXPECT_EQ(shape.inserted(3, 7), (Shape{2, 3, 4, 7}));
  EXPECT_EQ(shape, (Shape{2, 3, 4}));
}

TEST(Shape, EqualMeansSameRankAndSizes) {
  EXPECT_NE((Shape{2, 3}), (Shape{2, 3, 1}));
  EXPECT_NE((Shape{2, 3}), (Shape{3, 2}));
  EXPECT_NE(Shape{}, (Shape{1}));
}

TEST(Shape, RefusesWhatIsOutOfRange) {
  const Shape shape{2, 3};
  EXPECT_THROW(shape.size(2), ShapeError);
  EXPECT_THROW(shape.size(-3), ShapeError);
  EXPECT_THROW(shape.with(2, 1), ShapeError);
  EXPECT_THROW(shape.inserted(3, 1), ShapeError);
  EXPECT_THROW((Shape{1, 1, 1, 1, 1, 1, 1, 1, 1}), ShapeError);
}

TEST(ContiguousStrides, AreRowMajor) {
  EXPECT_EQ(contiguous_strides({2, 3, 4}), (Shape{12, 4, 1}));
  EXPECT_EQ(contiguous_strides({}), Shape{});
}

TEST(BroadcastShapes, FollowsNumpy) {
  EXPECT_EQ(broadcast_shapes({2, 1, 4}, {3, 1}, "op"), (Shape{2, 3, 4}));
  EXPECT_EQ(broadcast_shapes({}, {5}, "op"), (Shape{5}));
  EXPECT_EQ(broadcast_shapes({1}, {0}, "op"), (Shape{0}));
  EXPECT_EQ(broadcast_shapes({0, 3}, {1, 3}, "op"), (Shape{0, 3}));
}

TEST(BroadcastShapes, NamesOpAndSizesThatDoNotFit) {
  try {
    broadcast_shapes({2, 3}, {2, 4}, "add");
    FAIL();
  } catch (const ShapeError& error) {
    EXPECT_EQ(std::string(error.what()),
              "add: shapes (2,3) and (2,4) don't broadcast: dimension 1 has sizes 3 and 4");
  }
  EXPECT_THROW(broadcast_shapes({0}, {2}, "op"), ShapeError);
}

TEST(DType, HasNamesAndSizes) {
  EXPECT_EQ(name(DType::F32), "float32");
  EXPECT_EQ(name(DType::U8), "uint8");
  EXPECT_EQ(item_size(DType::F64), 8);
  EXPECT_EQ(item_size(DType::I64), 8);
  EXPECT_EQ(item_size(DType::I32), 4);
  EXPECT_TRUE(is_floating(DType::F64));
  EXPECT_FALSE(is_floating(DType::I32));
}

}  // namespace
}  // namespace espalier
