// SPDX-License-Identifier: Apache-2.0
#include "support.h"

namespace espalier::nn {
namespace {

Tensor mask3(uint8_t a, uint8_t b, uint8_t c) {
  return Tensor::from<uint8_t>({3}, {a, b, c});
}

TEST(Parameter, WantsAGradientAndIsDenseAtFirst) {
  const Parameter p(Tensor::ones({3}));
  EXPECT_TRUE(p.value.requires_grad());
  EXPECT_FALSE(p.masked());
  EXPECT_FALSE(p.mask().defined());
  EXPECT_EQ(p.nnz(), 3);
}

TEST(Parameter, SetMaskZeroesValueAndGradient) {
  Parameter p(Tensor::from<float>({3}, {1, NAN, 3}));
  p.value.set_grad(Variable(Tensor::from<float>({3}, {4, 5, 6})));
  p.set_mask(mask3(1, 0, 1));
  EXPECT_EQ(values(p.value.value()), (std::vector<double>{1, 0, 3}));
  EXPECT_EQ(values(p.value.grad().value()), (std::vector<double>{4, 0, 6}));
  EXPECT_EQ(p.nnz(), 2);
  EXPECT_EQ(values(p.mask()), (std::vector<double>{1, 0, 1}));
}

TEST(Parameter, AGradientTensorThatOthersHoldIsNotWrittenTo) {
  const Tensor shared = Tensor::from<float>({3}, {4, 5, 6});
  Parameter p(Tensor::ones({3}));
  p.value.set_grad(Variable(shared));
  p.set_mask(mask3(0, 1, 1));
  EXPECT_EQ(values(shared), (std::vector<double>{4, 5, 6}));
}

TEST(Parameter, AnUndefinedMaskMakesItDenseAgain) {
  Parameter p(Tensor::from<float>({3}, {1, 2, 3}));
  p.set_mask(mask3(1, 0, 1));
  p.set_mask({});
  EXPECT_FALSE(p.masked());
  EXPECT_EQ(values(p.value.value()), (std::vector<double>{1, 0, 3}));
}

TEST(Parameter, ABadMaskChangesNothing) {
  Parameter p(Tensor::from<float>({3}, {1, 2, 3}));
  p.set_mask(mask3(1, 1, 0));
  EXPECT_THROW(p.set_mask(Tensor::from<uint8_t>({2}, {1, 0})), ShapeError);
  EXPECT_THROW(p.set_mask(mask3(0, 0, 2)), ValueError);
  EXPECT_THROW(p.set_mask(Tensor::ones({3})), TypeError);
  EXPECT_EQ(values(p.value.value()), (std::vector<double>{1, 2, 0}));
  EXPECT_EQ(p.nnz(), 2);
}

TEST(Parameter, CloneIsDeepAndKeepsMaskAndRequest) {
  Parameter p(Tensor::from<float>({3}, {1, 2, 3}));
  p.set_mask(mask3(1, 0, 1));
  p.grad_request = sparse::GradRequest::Dense;
  Parameter copy = p.clone();
  copy.set_mask(mask3(0, 0, 1));
  EXPECT_EQ(values(p.value.value()), (std::vector<double>{1, 0, 3}));
  EXPECT_EQ(p.nnz(), 2);
  EXPECT_EQ(copy.grad_request, sparse::GradRequest::Dense);
}

}  // namespace
}  // namespace espalier::nn
