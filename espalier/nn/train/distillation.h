// SPDX-License-Identifier: Apache-2.0
/// Knowledge distillation: a student learns from a teacher's softened answers beside the labels.
/// An objective of `fit`, so that it goes with any pruner, optimizer and schedule.
///
/// Source: Hinton, Vinyals, Dean, arXiv:1503.02531.
#pragma once

#include <memory>

#include <espalier/nn/train/objective.h>

namespace espalier::nn {

/// How much of the teacher, and how soft.
struct DistillationOptions {
  double temperature = 4.0;  ///< T > 0: logits are divided by it
  double weight = 0.9;       ///< a in 0..1: the teacher's share of the loss
};

/// (1-a) CE(labels, student) + a T^2 KL(softmax(teacher/T) || softmax(student/T)), means over the
/// batch. T^2 keeps the second part's gradient, a T (p_student - p_teacher) / N, from shrinking
/// with the temperature. Logits (N,C), labels int64 (N). No gradient flows to the teacher. Throws
/// ShapeError when the logits differ in shape, ValueError for options out of range.
Variable distillation_loss(const Variable& student,
                           const Variable& teacher,
                           const Tensor& labels,
                           const DistillationOptions& options,
                           double label_smoothing = 0.0);

/// A teacher that marks every batch of a training. It sees the very images that the student saw,
/// augmented alike, in eval mode and unrecorded, and never changes.
class Distillation : public Objective {
 public:
  /// Puts the teacher into eval mode. Throws ValueError for options out of range.
  Distillation(std::shared_ptr<Module> teacher,
               const DistillationOptions& options,
               double label_smoothing = 0.0);
  StepLoss loss(Module& student, const data::Batch& batch) override;

 private:
  std::shared_ptr<Module> teacher_;
  DistillationOptions options_;
  double label_smoothing_;
};

}  // namespace espalier::nn
