// SPDX-License-Identifier: Apache-2.0
// The cross-entropy of batches whose samples were mixed.
#include <cmath>

#include <gtest/gtest.h>

#include <espalier/autograd/ops.h>
#include <espalier/nn/train/objective.h>

namespace espalier::nn {
namespace {

Tensor filled(const Shape& shape, const std::vector<float>& values) {
  Tensor out = Tensor::empty(shape);
  std::copy(values.begin(), values.end(), out.data<float>());
  return out;
}

data::Batch batch_of(int64_t label, const std::vector<float>& shares) {
  Tensor labels = Tensor::empty({1}, DType::I64);
  labels.data<int64_t>()[0] = label;
  data::Batch batch{Tensor::empty({1, 1, 1, 1}), labels};
  if (!shares.empty()) batch.shares = filled({1, static_cast<int64_t>(shares.size())}, shares);
  return batch;
}

// Probabilities 3/4 and 1/4.
const Variable& logits() {
  static const Variable value(filled({1, 2}, {std::log(3.0F), 0.0F}));
  return value;
}

TEST(MixedLabels, WeighTheLogarithmsOfTheirClasses) {
  const data::Batch batch = batch_of(1, {0.3F, 0.7F});
  EXPECT_NEAR(batch_cross_entropy(logits(), batch).item(),
              -0.3 * std::log(0.75) - 0.7 * std::log(0.25),
              1e-6);
  // Smoothed by 0.2: 0.8 * 0.3 + 0.1 and 0.8 * 0.7 + 0.1.
  EXPECT_NEAR(batch_cross_entropy(logits(), batch, 0.2).item(),
              -0.34 * std::log(0.75) - 0.66 * std::log(0.25),
              1e-6);
}

TEST(MixedLabels, OfOneClassAreThatLabel) {
  for (const double smoothing : {0.0, 0.1}) {
    EXPECT_NEAR(batch_cross_entropy(logits(), batch_of(1, {0.0F, 1.0F}), smoothing).item(),
                batch_cross_entropy(logits(), batch_of(1, {}), smoothing).item(),
                1e-6);
  }
}

TEST(MixedLabels, OfOtherClassesAreRefused) {
  EXPECT_THROW(batch_cross_entropy(logits(), batch_of(1, {0.0F, 0.5F, 0.5F})), ShapeError);
}

}  // namespace
}  // namespace espalier::nn
