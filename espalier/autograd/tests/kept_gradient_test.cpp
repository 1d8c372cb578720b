// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>

#include <espalier/autograd/kept_gradient.h>
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/core/error.h>
#include <espalier/sparse/kept_values.h>

namespace espalier {
namespace {

/// A convolution of 16 channels whose weights all exist but every third, and what its gradient is.
struct Layer {
  std::shared_ptr<const sparse::Support> support;
  Variable x, weight;

  Layer() {
    Tensor mask = Tensor::zeros({16, 16, 3, 3}, DType::U8);
    for (int64_t i = 0; i < mask.numel(); i += 3) mask.data<uint8_t>()[i] = 1;
    support = std::make_shared<const sparse::Support>(mask);
    x = Variable(sample_tensor({16, 16, 4, 4}, 1).to(DType::F32).to(Layout::Nchw16n), true);
    weight =
        Variable(sparse::masked(sample_tensor({16, 16, 3, 3}, 2).to(DType::F32), *support), true);
  }
  void backward(sparse::GradRequest request = sparse::GradRequest::Masked) const {
    const Variable y = conv2d(x, weight, {}, {.padding = 1}, {support, request});
    sum(mul(y, y)).backward();
  }
  const Tensor* kept() const { return kept_values_of(weight.grad(), support.get()); }
};

TEST(KeptGradient, OfASparseLayerHoldsWhatExists) {
  const Layer sparse;
  sparse.backward();
  ASSERT_NE(sparse.kept(), nullptr);
  EXPECT_EQ(sparse.kept()->numel(), sparse.support->nnz());
  const Layer dense;
  dense.backward(sparse::GradRequest::Dense);
  EXPECT_EQ(dense.kept(), nullptr);
  const Tensor expected = sparse::kept_values(dense.weight.grad().value(), *dense.support);
  const auto a = sparse.kept()->to_vector<double>();
  const auto b = expected.to_vector<double>();
  for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-3 * (1.0 + std::abs(b[i])));
}

TEST(KeptGradient, BecomesDenseWhenLookedAt) {
  const Layer layer;
  layer.backward();
  const Tensor kept = *layer.kept();
  const Tensor dense = layer.weight.grad().value();
  EXPECT_EQ(layer.kept(), nullptr);
  EXPECT_EQ(dense.shape(), layer.weight.shape());
  EXPECT_EQ(sparse::kept_values(dense, *layer.support).to_vector<float>(), kept.to_vector<float>());
  EXPECT_EQ(dense.data<float>()[1], 0.0f);
}

TEST(KeptGradient, AddsUpOverPasses) {
  const Layer layer;
  layer.backward();
  const Tensor once = *layer.kept();
  layer.backward();
  ASSERT_NE(layer.kept(), nullptr);
  for (int64_t i = 0; i < once.numel(); ++i) {
    EXPECT_EQ(layer.kept()->data<float>()[i], 2.0f * once.data<float>()[i]);
  }
}

TEST(KeptGradient, AHookSeesAGradientLikeAnyOther) {
  Layer layer;
  layer.weight.register_hook([](const Variable& gradient) { return add(gradient, gradient); });
  layer.backward();
  const Layer plain;
  plain.backward();
  const Tensor& twice = layer.weight.grad().value();
  const Tensor& once = plain.weight.grad().value();
  for (int64_t i = 0; i < once.numel(); ++i) {
    ASSERT_EQ(twice.data<float>()[i], 2.0f * once.data<float>()[i]);
  }
}

TEST(KeptGradient, RefusesAnotherNumberOfValues) {
  const Layer layer;
  EXPECT_THROW(kept_gradient(Tensor::zeros({3}), layer.support), ShapeError);
}

}  // namespace
}  // namespace espalier
