// SPDX-License-Identifier: Apache-2.0
// predict(), and counts over predictions.
#include <cmath>

#include <espalier/nn/predict.h>
#include <espalier/nn/train/metrics.h>

#include "support.h"

namespace espalier::nn {
namespace {

TEST(Predict, IsTheModelInEvaluationWhateverTheBatches) {
  const auto net = tiny_net();
  (*net)[1].train(false);
  const Tensor images = random_tensor({21, 1, 8, 8}, 4);
  const Tensor whole = [&] {
    const EvalScope eval(*net);
    return (*net)(Variable(images)).value();
  }();
  for (const int64_t batch : {1, 4, 21, 100}) {
    const Tensor out = predict(*net, images, batch);
    EXPECT_EQ(out.shape(), (Shape{21, 3}));
    EXPECT_EQ(out.layout(), Layout::Nchw);
    EXPECT_LT(max_difference(out, whole), 1e-5) << batch;
  }
  EXPECT_LT(max_difference(predict(*net, images.to(Layout::Nchw16n)), whole), 1e-5);
  EXPECT_TRUE(net->training());
  EXPECT_FALSE((*net)[1].training());
  EXPECT_TRUE((*net)[4].training());
  EXPECT_TRUE(is_recording());
}

TEST(Predict, RefusesWhatAreNoSamples) {
  const auto net = tiny_net();
  EXPECT_THROW(predict(*net, Tensor()), ValueError);
  EXPECT_THROW(predict(*net, Tensor::ones({0, 1, 8, 8})), ValueError);
  EXPECT_THROW(predict(*net, Tensor::ones({1, 1, 8, 8}), 0), ValueError);
}

TEST(Predict, RestoresTheFlagsWhenTheModelThrows) {
  const auto net = tiny_net();
  EXPECT_THROW(predict(*net, Tensor::ones({2, 3, 8, 8})), ShapeError);
  EXPECT_TRUE(net->training());
  EXPECT_TRUE(is_recording());
}

const Tensor kLogits = Tensor::from<float>({4, 3}, {3, 2, 1, 1, 3, 2, 2, 2, 2, 0, 1, 5});
Tensor labels_of(const std::vector<int64_t>& labels) {
  return Tensor::from<int64_t>({static_cast<int64_t>(labels.size())}, labels);
}

TEST(Metrics, CountLabelsAmongTheLargest) {
  const Tensor labels = labels_of({1, 0, 1, 2});
  EXPECT_EQ(count_in_top(kLogits, labels, 1), 1);
  EXPECT_EQ(count_in_top(kLogits, labels, 2), 3);  // of equals, the second class is second
  EXPECT_EQ(count_in_top(kLogits, labels, 3), 4);
  EXPECT_EQ(count_in_top(kLogits.to(Layout::Nchw16n), labels, 2), 3);
  EXPECT_DOUBLE_EQ(top_k_accuracy(kLogits, labels, 2), 0.75);
  for (const auto& each : {labels_of({0, 1, 0, 2}), labels_of({2, 2, 2, 2}), labels}) {
    EXPECT_EQ(count_in_top(kLogits, each, 1), count_correct(kLogits, each));
  }
  EXPECT_EQ(top_k_accuracy(Tensor::ones({0, 3}), labels_of({}), 1), 0.0);
}

TEST(Metrics, WhatIsNoNumberIsNotAmongTheLargest) {
  const Tensor logits = Tensor::from<float>({1, 2}, {NAN, 1});
  EXPECT_EQ(count_in_top(logits, labels_of({0}), 2), 0);
}

TEST(Metrics, ConfusionHasARowForEachTrueClass) {
  const Tensor confusion = confusion_matrix(kLogits, labels_of({0, 0, 0, 1}));
  EXPECT_EQ(confusion.to_vector<int64_t>(), (std::vector<int64_t>{2, 1, 0, 0, 0, 1, 0, 0, 0}));
  const std::vector<double> accuracy = per_class_accuracy(confusion);
  ASSERT_EQ(accuracy.size(), 3u);
  EXPECT_DOUBLE_EQ(accuracy[0], 2.0 / 3.0);
  EXPECT_EQ(accuracy[1], 0.0);
  EXPECT_TRUE(std::isnan(accuracy[2]));
}

TEST(Metrics, WrongArgumentsAreErrors) {
  EXPECT_THROW(count_in_top(kLogits, labels_of({0, 0, 0, 0}), 4), ValueError);
  EXPECT_THROW(count_in_top(kLogits, labels_of({0, 0, 0, 0}), 0), ValueError);
  EXPECT_THROW(count_in_top(kLogits, labels_of({0, 0, 0, 3}), 1), ValueError);
  EXPECT_THROW(confusion_matrix(kLogits, labels_of({0, 0, 0, -1})), ValueError);
  EXPECT_THROW(confusion_matrix(kLogits, labels_of({0})), ShapeError);
  EXPECT_THROW(confusion_matrix(kLogits, Tensor::ones({4})), TypeError);
  EXPECT_THROW(per_class_accuracy(Tensor::ones({2, 3}, DType::I64)), ShapeError);
  EXPECT_THROW(per_class_accuracy(Tensor::ones({2, 2})), TypeError);
}

}  // namespace
}  // namespace espalier::nn
