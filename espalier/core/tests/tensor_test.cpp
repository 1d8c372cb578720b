// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/tensor.h>

#include <gtest/gtest.h>

namespace espalier {
namespace {

Tensor numbers(const Shape& shape) {
  return Tensor::arange(shape.numel(), DType::F32).reshape(shape);
}

TEST(Tensor, IsUndefinedUntilMade) {
  const Tensor t;
  EXPECT_FALSE(t.defined());
  EXPECT_THROW(t.raw(), ValueError);
  EXPECT_EQ(t.str(), "undefined tensor");
}

TEST(Tensor, FactoriesFillEveryType) {
  for (const DType dtype : {DType::F32, DType::F64, DType::I32, DType::I64, DType::U8}) {
    EXPECT_EQ(Tensor::zeros({2, 2}, dtype).to_vector<double>(), (std::vector<double>(4, 0)));
    EXPECT_EQ(Tensor::ones({3}, dtype).to_vector<double>(), (std::vector<double>(3, 1)));
    EXPECT_EQ(Tensor::full({1}, 7, dtype).item(), 7.0);
    EXPECT_EQ(Tensor::arange(3, dtype).to_vector<double>(), (std::vector<double>{0, 1, 2}));
    EXPECT_EQ(Tensor::scalar(5, dtype).rank(), 0);
  }
}

TEST(Tensor, FromTakesValuesInRowMajorOrder) {
  const Tensor t = Tensor::from<float>({2, 3}, {0, 1, 2, 3, 4, 5});
  EXPECT_EQ(t.at({1, 0}), 3.0);
  EXPECT_EQ(t.at({0, 2}), 2.0);
  EXPECT_THROW(Tensor::from<float>({2, 3}, {1}), ShapeError);
}

TEST(Tensor, RefusesAbsurdShapes) {
  EXPECT_THROW(Tensor::empty({-1}), ShapeError);
  EXPECT_THROW(Tensor::empty({int64_t{1} << 62, 4}), ShapeError);
  EXPECT_THROW(Tensor::empty({}, DType::F32, Layout::Nchw16n), ShapeError);
}

TEST(Tensor, CopyOfAHandleSharesMemoryAndCloneDoesNot) {
  Tensor a = numbers({4});
  const Tensor handle = a;
  const Tensor copy = a.clone();
  a.fill_(9);
  EXPECT_EQ(handle.at({2}), 9.0);
  EXPECT_EQ(copy.at({2}), 2.0);
  EXPECT_TRUE(a.shares_storage(handle));
  EXPECT_FALSE(a.shares_storage(copy));
}

TEST(Tensor, DataChecksTheElementType) {
  Tensor t = numbers({2});
  EXPECT_NO_THROW(t.data<float>());
  EXPECT_THROW(t.data<double>(), TypeError);
}

TEST(Tensor, ViewsShareMemoryWithTheRightElements) {
  Tensor t = numbers({2, 3, 4});
  EXPECT_EQ(t.permute({2, 0, 1}).at({3, 1, 2}), t.at({1, 2, 3}));
  EXPECT_EQ(t.transpose(0, -1).at({3, 2, 1}), t.at({1, 2, 3}));
  EXPECT_EQ(t.slice(2, 1, 4, 2).shape(), (Shape{2, 3, 2}));
  EXPECT_EQ(t.slice(2, 1, 4, 2).at({1, 2, 1}), t.at({1, 2, 3}));
  EXPECT_EQ(t.slice(1, 3, 3).numel(), 0);
  EXPECT_EQ(t.slice(0, 1, 2).expand({5, 3, 4}).at({4, 2, 3}), t.at({1, 2, 3}));
  for (const Tensor& view : {t.permute({2, 0, 1}), t.slice(0, 1, 2), t.reshape({6, 4})}) {
    EXPECT_TRUE(view.shares_storage(t));
  }
}

TEST(Tensor, ReshapeOfAPermutedTensorCopiesInLogicalOrder) {
  const Tensor t = numbers({2, 3});
  const Tensor r = t.transpose(0, 1).reshape({6});
  EXPECT_EQ(r.to_vector<float>(), (std::vector<float>{0, 3, 1, 4, 2, 5}));
  EXPECT_FALSE(r.shares_storage(t));
}

TEST(Tensor, ReshapeInfersOneSize) {
  EXPECT_EQ(numbers({2, 3, 4}).reshape({4, -1}).shape(), (Shape{4, 6}));
  EXPECT_THROW(numbers({6}).reshape({4, -1}), ShapeError);
  EXPECT_THROW(numbers({6}).reshape({-1, -1}), ShapeError);
  EXPECT_THROW(numbers({6}).reshape({5}), ShapeError);
  EXPECT_THROW(Tensor::empty({0}).reshape({0, -1}), ShapeError);
}

TEST(Tensor, ViewsRefuseWhatIsOutOfRange) {
  const Tensor t = numbers({2, 3});
  EXPECT_THROW(t.permute({0}), ShapeError);
  EXPECT_THROW(t.permute({0, 0}), ShapeError);
  EXPECT_THROW(t.permute({0, 2}), ShapeError);
  EXPECT_THROW(t.slice(0, 1, 3), ShapeError);
  EXPECT_THROW(t.slice(0, 2, 1), ShapeError);
  EXPECT_THROW(t.slice(0, 0, 1, 0), ShapeError);
  EXPECT_THROW(t.expand({2, 4}), ShapeError);
  EXPECT_THROW(t.at({0}), ShapeError);
  EXPECT_THROW(t.at({0, 3}), ShapeError);
  EXPECT_THROW(t.item(), ShapeError);
}

TEST(Tensor, KnowsWhetherItIsContiguous) {
  const Tensor t = numbers({4, 3});
  EXPECT_TRUE(t.is_contiguous());
  EXPECT_FALSE(t.transpose(0, 1).is_contiguous());
  EXPECT_FALSE(t.slice(1, 0, 2).is_contiguous());
  EXPECT_TRUE(t.slice(0, 1, 3).is_contiguous());
  EXPECT_TRUE(numbers({1, 3}).transpose(0, 1).is_contiguous());
  EXPECT_TRUE(t.contiguous().shares_storage(t));
  EXPECT_EQ(t.transpose(0, 1).contiguous().to_vector<float>(),
            t.transpose(0, 1).to_vector<float>());
}

TEST(TensorLanes, StoreSampleNInLaneNOfItsBlock) {
  const Tensor t = numbers({18, 2, 3});
  const Tensor lanes = t.to(Layout::Nchw16n);
  const Tensor physical = lanes.physical();
  ASSERT_EQ(physical.shape(), (Shape{2, 2, 3, 16}));
  EXPECT_TRUE(physical.shares_storage(lanes));
  for (int64_t n = 0; n < 32; ++n) {
    for (int64_t c = 0; c < 2; ++c) {
      for (int64_t i = 0; i < 3; ++i) {
        const double want = n < 18 ? t.at({n, c, i}) : 0.0;
        EXPECT_EQ(physical.at({n / 16, c, i, n % 16}), want);
      }
    }
  }
}

TEST(TensorLanes, RoundTripKeepsEveryBitForOddBatchesRanksAndTypes) {
  for (const int64_t n : {0, 1, 15, 16, 17, 33}) {
    for (const Shape& rest : {Shape{}, Shape{3}, Shape{2, 5}, Shape{3, 4, 5}}) {
      Shape shape{n};
      for (const int64_t size : rest) shape.push_back(size);
      for (const DType dtype : {DType::F32, DType::F64, DType::I32, DType::I64, DType::U8}) {
        const Tensor t = numbers(shape).to(dtype);
        const Tensor lanes = t.to(Layout::Nchw16n);
        EXPECT_EQ(lanes.shape(), shape);
        EXPECT_EQ(lanes.physical_numel(), (n + 15) / 16 * 16 * rest.numel());
        EXPECT_EQ(lanes.to(Layout::Nchw).to_vector<double>(), t.to_vector<double>());
        EXPECT_EQ(lanes.to_vector<double>(), t.to_vector<double>());
      }
    }
  }
}

TEST(TensorLanes, EveryWriterKeepsPaddingZero) {
  const auto padding_sum = [](const Tensor& t) {
    double sum = 0;
    for (const double x : t.physical().to_vector<double>()) sum += x;
    for (const double x : t.to_vector<double>()) sum -= x;
    return sum;
  };
  Tensor t = Tensor::ones({17, 3}, DType::F32, Layout::Nchw16n);
  EXPECT_EQ(padding_sum(t), 0.0);
  t.fill_(4);
  EXPECT_EQ(padding_sum(t), 0.0);
  t.copy_(numbers({17, 3}));
  EXPECT_EQ(padding_sum(t), 0.0);
  EXPECT_EQ(padding_sum(t.to(DType::F64)), 0.0);
  EXPECT_EQ(padding_sum(Tensor::full_like(t, 2)), 0.0);
}

TEST(TensorLanes, ReshapeKeepsTheBatch) {
  const Tensor t = numbers({17, 2, 3});
  const Tensor lanes = t.to(Layout::Nchw16n);
  const Tensor flat = lanes.reshape({17, -1});
  EXPECT_EQ(flat.layout(), Layout::Nchw16n);
  EXPECT_TRUE(flat.shares_storage(lanes));
  EXPECT_EQ(flat.to_vector<float>(), t.to_vector<float>());
  EXPECT_THROW(lanes.reshape({34, 3}), ShapeError);
  EXPECT_THROW(lanes.permute({1, 0, 2}), ShapeError);
  EXPECT_THROW(lanes.slice(0, 0, 1), ShapeError);
}

TEST(Tensor, CopyConvertsTypeAndLayoutAndStride) {
  Tensor target = Tensor::zeros({3, 2}, DType::F64, Layout::Nchw16n);
  const Tensor source = Tensor::from<int32_t>({2, 3}, {1, 2, 3, 4, 5, 6}).transpose(0, 1);
  target.copy_(source);
  EXPECT_EQ(target.to_vector<int32_t>(), (std::vector<int32_t>{1, 4, 2, 5, 3, 6}));
  EXPECT_THROW(target.copy_(numbers({2, 3})), ShapeError);
}

TEST(Tensor, ConversionOfFloatToIntegerTruncates) {
  EXPECT_EQ(Tensor::from<float>({3}, {1.9f, -1.9f, 0.5f}).to_vector<int32_t>(),
            (std::vector<int32_t>{1, -1, 0}));
}

TEST(Tensor, FillWritesThroughAViewOnly) {
  Tensor t = Tensor::zeros({3, 3});
  Tensor column = t.slice(1, 1, 2);
  column.fill_(5);
  EXPECT_EQ(t.to_vector<float>(), (std::vector<float>{0, 5, 0, 0, 5, 0, 0, 5, 0}));
}

TEST(Tensor, DescribesItself) {
  EXPECT_EQ(Tensor::zeros({8, 3}, DType::F32, Layout::Nchw16n).str(), "float32 (8,3) Nchw16n");
  EXPECT_EQ(Tensor::scalar(1, DType::I64).str(), "int64 ()");
}

}  // namespace
}  // namespace espalier
