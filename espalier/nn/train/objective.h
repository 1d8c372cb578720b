// SPDX-License-Identifier: Apache-2.0
/// Objective: what a step of training minimizes, from the model and a batch. Cross-entropy and
/// distillation are objectives; so are two views of an image, pseudo-labels, or features that
/// follow a teacher's. Penalties of hooks are added to it (nn/train/fit.h).
#pragma once

#include <functional>

#include <espalier/data/loader.h>
#include <espalier/nn/module/module.h>

namespace espalier::nn {

/// What an objective says of one batch.
struct StepLoss {
  Variable loss;  ///< a scalar with the tape of this step
  /// (N,C), a row for each label of the batch, from which the training's accuracy is counted;
  /// undefined: nothing was classified, and the accuracy is 0.
  Variable logits = {};
};

/// What a step minimizes.
class Objective {
 public:
  virtual ~Objective() = default;
  /// Runs `model`, in training mode, as often as it needs to. Called once a step, in the order of
  /// the steps. What it runs besides the model (a teacher) it neither trains nor records.
  virtual StepLoss loss(Module& model, const data::Batch& batch) = 0;
};

/// Logits with a row for each label: those of a text (N,T,C) as (N*T,C), others as they are.
Variable class_rows(const Variable& logits);

/// Mean cross-entropy of logits (N,C), a row for each label of the batch, to what the batch says:
/// its labels, or where samples were mixed the shares q of `Batch::shares`: -sum_c q_c log p_c. In
/// either case smoothed to (1-s) q + s/C. Throws ShapeError when there are fewer or more rows, or
/// shares of other classes.
Variable batch_cross_entropy(const Variable& logits,
                             const data::Batch& batch,
                             double label_smoothing = 0.0);

/// `batch_cross_entropy` of the model's logits.
class CrossEntropy : public Objective {
 public:
  /// `label_smoothing`: share of the target spread over all classes, in 0 .. 1.
  explicit CrossEntropy(double label_smoothing = 0.0) : label_smoothing_(label_smoothing) {}
  StepLoss loss(Module& model, const data::Batch& batch) override;

 private:
  double label_smoothing_;
};

/// A loss of the model's logits for a batch.
class LogitLoss : public Objective {
 public:
  /// From logits (N,C), a row for each label, and the batch to a scalar.
  using Function = std::function<Variable(const Variable& logits, const data::Batch& batch)>;
  /// Calls `function` once a step.
  explicit LogitLoss(Function function) : function_(std::move(function)) {}
  StepLoss loss(Module& model, const data::Batch& batch) override;

 private:
  Function function_;
};

}  // namespace espalier::nn
