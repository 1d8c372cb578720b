// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/train/distillation.h>

#include <cmath>

#include <espalier/autograd/ops.h>

namespace espalier::nn {
namespace {

void check(const DistillationOptions& options) {
  ESPALIER_CHECK(options.temperature > 0.0 && std::isfinite(options.temperature),
                 ValueError,
                 "distillation: expects a temperature above 0, got ",
                 options.temperature);
  ESPALIER_CHECK(options.weight >= 0.0 && options.weight <= 1.0,
                 ValueError,
                 "distillation: expects a weight in 0..1, got ",
                 options.weight);
}

Variable with_teacher(const Variable& hard,
                      const Variable& student,
                      const Variable& teacher,
                      const DistillationOptions& options) {
  check(options);
  ESPALIER_CHECK(student.rank() == 2 && teacher.shape() == student.shape(),
                 ShapeError,
                 "distillation: expects logits (N,C) of student and teacher, got ",
                 student.shape(),
                 " and ",
                 teacher.shape());
  const double t = options.temperature;
  const Variable soft = softmax(teacher.detach() * (1.0 / t));
  const Variable matched = kl_divergence(log_softmax(student * (1.0 / t)), soft);
  return hard * (1.0 - options.weight) + matched * (options.weight * t * t);
}

}  // namespace

Variable distillation_loss(const Variable& student,
                           const Variable& teacher,
                           const Tensor& labels,
                           const DistillationOptions& options,
                           double label_smoothing) {
  return with_teacher(cross_entropy(student, labels, label_smoothing), student, teacher, options);
}

Distillation::Distillation(std::shared_ptr<Module> teacher,
                           const DistillationOptions& options,
                           double label_smoothing)
    : teacher_(std::move(teacher)), options_(options), label_smoothing_(label_smoothing) {
  check(options);
  ESPALIER_CHECK(teacher_ != nullptr, ValueError, "distillation: needs a teacher");
  teacher_->eval();
}

StepLoss Distillation::loss(Module& student, const data::Batch& batch) {
  const Variable logits = class_rows(student(Variable(batch.images)));
  const Variable marks = [&] {
    const NoGrad no_grad;
    return class_rows((*teacher_)(Variable(batch.images)));
  }();
  const Variable hard = batch_cross_entropy(logits, batch, label_smoothing_);
  return {with_teacher(hard, logits, marks, options_), logits};
}

}  // namespace espalier::nn
