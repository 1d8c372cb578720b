// SPDX-License-Identifier: Apache-2.0
#include <espalier/autograd/derivative/gradcheck.h>
#include <espalier/autograd/ops.h>
#include <espalier/nn/module/trace.h>
#include <espalier/nn/train/distillation.h>
#include <espalier/nn/train/fit.h>
#include <espalier/nn/train/sgd.h>

#include "support.h"

namespace espalier::nn {
namespace {

constexpr double kHandTol = 1e-6;

Variable logits(const std::vector<double>& v, int64_t rows = 1) {
  return Variable(Tensor::from<double>({rows, static_cast<int64_t>(v.size()) / rows}, v), true);
}

TEST(Distillation, LossAndGradientByHand) {
  // softmax of 1/4 and 2/4: KL = 0.0074773, times 16.
  const Variable s = logits({1, 0});
  const Variable t = logits({2, 0});
  const Tensor label = Tensor::from<int64_t>({1}, {0});
  const Variable loss = distillation_loss(s, t, label, {.temperature = 4, .weight = 1});
  EXPECT_NEAR(loss.item(), 0.1196363, kHandTol);
  loss.backward();
  EXPECT_NEAR(s.grad().value().at({0, 0}), -0.241131, kHandTol);
  EXPECT_NEAR(s.grad().value().at({0, 1}), 0.241131, kHandTol);
  EXPECT_FALSE(t.grad().defined());
}

TEST(Distillation, IsAMeanOverTheBatchNotOverClasses) {
  const Tensor label = Tensor::from<int64_t>({2}, {0, 0});
  const Variable loss = distillation_loss(
      logits({1, 0, 1, 0}, 2), logits({2, 0, 2, 0}, 2), label, {.temperature = 4, .weight = 1});
  EXPECT_NEAR(loss.item(), 0.1196363, kHandTol);
}

TEST(Distillation, MixesWithTheLabelsLoss) {
  const Tensor label = Tensor::from<int64_t>({1}, {1});
  const double ce = std::log(1.0 + std::exp(1.0));
  const auto loss = [&](double weight) {
    return distillation_loss(
               logits({1, 0}), logits({2, 0}), label, {.temperature = 4, .weight = weight})
        .item();
  };
  EXPECT_NEAR(loss(0.0), ce, kHandTol);
  EXPECT_NEAR(loss(0.9), 0.1 * ce + 0.9 * 0.1196363, kHandTol);
}

TEST(Distillation, EqualLogitsCostNothing) {
  const Variable s = logits({0.3, -2, 5});
  const Variable loss = distillation_loss(
      s, logits({0.3, -2, 5}), Tensor::from<int64_t>({1}, {0}), {.temperature = 3, .weight = 1});
  EXPECT_NEAR(loss.item(), 0.0, 1e-15);
  loss.backward();
  EXPECT_NEAR(s.grad().value().at({0, 2}), 0.0, 1e-15);
}

TEST(Distillation, GradientDoesNotShrinkWithTheTemperature) {
  // For high temperatures a T (p_s - p_t) tends to (s - t - mean) / C: one limit for all T.
  const auto gradient = [](double temperature) {
    const Variable s = logits({1, 0});
    distillation_loss(s,
                      logits({2, 0}),
                      Tensor::from<int64_t>({1}, {0}),
                      {.temperature = temperature, .weight = 1})
        .backward();
    return s.grad().value().at({0, 0});
  };
  EXPECT_NEAR(gradient(50), -0.25, 1e-3);
  EXPECT_NEAR(gradient(500), -0.25, 1e-3);
}

TEST(Distillation, RefusesBadOptionsAndOtherShapes) {
  const Tensor label = Tensor::from<int64_t>({1}, {0});
  const auto loss = [&](const DistillationOptions& options) {
    distillation_loss(logits({1, 0}), logits({1, 0}), label, options);
  };
  EXPECT_THROW(loss({.temperature = 0}), ValueError);
  EXPECT_THROW(loss({.weight = 1.5}), ValueError);
  EXPECT_THROW(distillation_loss(logits({1, 0}), logits({1, 0, 0}), label, {}), ShapeError);
}

TEST(Distillation, TheTeacherRunsInEvalModeOnTheSameImagesAndNeverChanges) {
  auto student = tiny_net(1);
  // Dropout and batch statistics of the teacher would show as other logits and other buffers.
  std::shared_ptr<Module> teacher = tiny_net(2);
  const auto before = snapshot(deep_copy(teacher->state_dict()));
  data::Batch batch;
  batch.images = random_tensor({5, 1, 8, 8}, 3).to(Layout::Nchw16n);
  batch.labels = Tensor::from<int64_t>({5}, {0, 1, 2, 0, 1});
  teacher->train();
  const auto distill =
      std::make_shared<Distillation>(teacher, DistillationOptions{.temperature = 2, .weight = 0.5});
  const Variable marks = [&] {
    const EvalScope eval(*teacher);
    return (*teacher)(Variable(batch.images));
  }();
  const Variable answer = [&] {
    const EvalScope eval(*student);
    return (*student)(Variable(batch.images));
  }();
  const double expected =
      distillation_loss(answer, marks, batch.labels, {.temperature = 2, .weight = 0.5}).item();
  {
    const EvalScope eval(*student);
    const StepLoss step = distill->loss(*student, batch);
    EXPECT_EQ(step.loss.item(), expected);
    EXPECT_EQ(step.logits.value().to_vector<float>(), answer.value().to_vector<float>());
  }

  Sgd sgd(*student, {.lr = 0.05, .momentum = 0.9}, 0.0);
  data::Loader loader(stripes(48),
                      {.batch_size = 16,
                       .shuffle = true,
                       .augmentation = {.crop_padding = 1},
                       .seed = 1,
                       .workers = 0});
  fit(*student, sgd, ConstantLr(0.05), loader, {}, {.epochs = 2, .objective = distill});
  EXPECT_EQ(snapshot(teacher->state_dict()), before);
  for (const NamedParameter& p : teacher->named_parameters()) {
    EXPECT_FALSE(p.parameter->value.grad().defined()) << p.name;
  }
}

TEST(Distillation, AStudentLearnsTheTeachersAnswersWithoutTrueLabels) {
  auto student = tiny_net(1);
  std::shared_ptr<Module> teacher = tiny_net(2);
  const auto distill =
      std::make_shared<Distillation>(teacher, DistillationOptions{.temperature = 1, .weight = 1});
  data::Loader loader(stripes(48), {.batch_size = 16, .shuffle = true, .seed = 1, .workers = 0});
  std::vector<double> losses;
  struct Watch : TrainHook {
    explicit Watch(std::vector<double>& l) : losses(l) {}
    void end_of_epoch(TrainState& state) override { losses.push_back(state.loss); }
    std::vector<double>& losses;
  } watch(losses);
  Sgd sgd(*student, {.lr = 0.1, .momentum = 0.9}, 0.0);
  fit(*student, sgd, ConstantLr(0.1), loader, {&watch}, {.epochs = 12, .objective = distill});
  EXPECT_LT(losses.back(), 0.5 * losses.front());
}

}  // namespace
}  // namespace espalier::nn
