// SPDX-License-Identifier: Apache-2.0
/// Contrastive learning: a network learns to find the other view of an image among the views of all
/// others; no label is looked at.
///
/// Source: Chen, Kornblith, Norouzi, Hinton, arXiv:2002.05709 (SimCLR).
#pragma once

#include <functional>

#include <espalier/nn/train/objective.h>

namespace espalier::nn {

/// NT-Xent: the mean over all rows i of -log(exp(z_i z_j / T) / sum over k != i of exp(z_i z_k /
/// T)), z the rows scaled to length 1, j the row of the other view: rows n and N+n belong together.
/// z (2N,D). Throws ShapeError unless the rows are an even number of at least two, ValueError
/// unless the temperature is above 0.
Variable nt_xent_loss(const Variable& z, double temperature);

/// An objective: two views of every batch, one after the other in one forward pass, and the loss of
/// what the network says of them.
class TwoViews : public Objective {
 public:
  /// Images (N,..) of a batch to view 0 or 1 of them, in the same shape.
  using Views = std::function<Tensor(const Tensor& images, int64_t view)>;
  /// `views` is called twice a step.
  TwoViews(Views views, double temperature) : views_(std::move(views)), temperature_(temperature) {}
  StepLoss loss(Module& model, const data::Batch& batch) override;

 private:
  Views views_;
  double temperature_;
};

}  // namespace espalier::nn
