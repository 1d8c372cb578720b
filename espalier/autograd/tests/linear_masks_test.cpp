// SPDX-License-Identifier: Apache-2.0
// What a masked linear layer returns for the weight's gradient, and for the gradient of that.
#include <gtest/gtest.h>

#include <espalier/autograd/ops.h>

namespace espalier {
namespace {

using sparse::GradRequest;
using sparse::Support;
using sparse::WeightSparsity;

const Layout kLayouts[] = {Layout::Nchw, Layout::Nchw16n};

std::vector<double> values_of(const Variable& v) {
  return v.value().to_vector<double>();
}

/// x (2,2), weight (2,2) with w[0][1] removed but not zero in memory.
struct MaskedLayer {
  explicit MaskedLayer(Layout layout, GradRequest request)
      : x(Tensor::from<double>({2, 2}, {1, 2, 3, 4}).to(layout), true),
        w(Tensor::from<double>({2, 2}, {1, 99, 0.5, -1}), true),
        sparsity{std::make_shared<Support>(Tensor::from<uint8_t>({2, 2}, {1, 0, 1, 1})), request} {}
  Variable x, w;
  WeightSparsity sparsity;
  Variable y() const { return linear(x, w, {}, sparsity); }
};

TEST(MaskedLinear, ARemovedWeightCountsAsZero) {
  for (Layout layout : kLayouts) {
    for (GradRequest request : {GradRequest::Masked, GradRequest::Dense}) {
      const MaskedLayer s(layout, request);
      EXPECT_EQ(values_of(s.y()), (std::vector<double>{1, -1.5, 3, -2.5}));
      sum(s.y()).backward();
      EXPECT_EQ(values_of(s.x.grad()), (std::vector<double>{1.5, -1, 1.5, -1}));
    }
  }
}

TEST(MaskedLinear, MaskedGradientIsZeroAtRemovedWeights) {
  for (Layout layout : kLayouts) {
    const MaskedLayer s(layout, GradRequest::Masked);
    sum(s.y()).backward();
    EXPECT_EQ(values_of(s.w.grad()), (std::vector<double>{4, 0, 4, 6}));
  }
}

TEST(MaskedLinear, DenseGradientIsThereEverywhere) {
  for (Layout layout : kLayouts) {
    const MaskedLayer s(layout, GradRequest::Dense);
    sum(s.y()).backward();
    EXPECT_EQ(values_of(s.w.grad()), (std::vector<double>{4, 6, 4, 6}));
  }
}

// d/dx of <dL/dw, v> is G v, with v masked only if the gradient was.
TEST(MaskedLinear, SecondDerivativesFollowTheRequest) {
  const Variable v(Tensor::from<double>({2, 2}, {1, 10, 100, 1000}));
  for (Layout layout : kLayouts) {
    for (GradRequest request : {GradRequest::Masked, GradRequest::Dense}) {
      const MaskedLayer s(layout, request);
      const Variable dw = grad({sum(s.y())}, {s.w}, {.create_graph = true})[0];
      const Variable dx = grad({sum(dw * v)}, {s.x})[0];
      const double at_removed = request == GradRequest::Dense ? 10 : 0;
      const std::vector<double> expected = {101, 1000 + at_removed, 101, 1000 + at_removed};
      EXPECT_EQ(values_of(dx), expected);
    }
  }
}

TEST(MaskedLinear, ASupportOfAnotherShapeIsAnError) {
  const Variable x(Tensor::zeros({2, 3})), w(Tensor::zeros({2, 3}));
  const auto support = std::make_shared<Support>(Tensor::ones({3, 2}, DType::U8));
  EXPECT_THROW(linear(x, w, {}, {support}), ShapeError);
}

TEST(Linear, WrongArgumentsAreErrors) {
  const Variable x(Tensor::zeros({2, 3}));
  EXPECT_THROW(linear(x, Variable(Tensor::zeros({3, 2}))), ShapeError);
  EXPECT_THROW(linear(x, Variable(Tensor::zeros({2, 3}, DType::F64))), TypeError);
  EXPECT_THROW(linear(x, Variable(Tensor::zeros({2, 3})), Variable(Tensor::zeros({3}))),
               ShapeError);
}

TEST(Matmul, WrongArgumentsAreErrors) {
  const Variable a(Tensor::zeros({2, 3}));
  EXPECT_THROW(matmul(a, a), ShapeError);
  EXPECT_THROW(matmul(a, Variable(Tensor::zeros({2, 3, 4}))), ShapeError);
  EXPECT_THROW(bmm(a, Variable(Tensor::zeros({3, 4}, DType::F64))), TypeError);
  EXPECT_THROW(bmm(Variable(Tensor::zeros({2, 2, 3})), Variable(Tensor::zeros({3, 3, 2}))),
               ShapeError);
}

}  // namespace
}  // namespace espalier
