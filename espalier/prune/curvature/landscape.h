// SPDX-License-Identifier: Apache-2.0
/// Landscape: the loss of a batch as a function of some weights of a network, and its first and
/// second derivatives. The network is a copy, so nothing here leaves a trace in the model.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <espalier/nn/module/module.h>
#include <espalier/prune/ground/inputs.h>

namespace espalier::prune {

/// What normalization layers do while scoring.
enum class ScoringMode : uint8_t {
  Eval,   ///< running statistics; no dropout
  Train,  ///< the batch's statistics; dropout
};

/// H v of a scalar function of `weights`, H its matrix of second derivatives: the derivative of the
/// dot product of its gradient with v, which is held constant.
///
/// value    made from `weights` while recording.
/// v        one tensor per weight, in its shape; any element type.
/// Returns  float64, one tensor per weight; zeros for a weight that the gradient does not depend
/// on. Source: Pearlmutter, "Fast exact multiplication by the Hessian", 1994.
std::vector<Tensor> hessian_vector_product(const Variable& value,
                                           const std::vector<Variable>& weights,
                                           std::span<const Tensor> v);

/// How a landscape is looked at.
struct LandscapeOptions {
  ScoringMode mode = ScoringMode::Eval;  ///< what norms and dropout do
  /// Gradients at removed positions: zero, or what they are.
  sparse::GradRequest gradients = sparse::GradRequest::Masked;
  /// Of the computation; nothing: that of the weights.
  std::optional<DType> precision = {};
  /// Masks that the copy gets, by parameter; null: it has the model's.
  const std::map<std::string, Tensor>* masks = nullptr;
};

/// The mean loss over a batch as a function of some weights.
class Landscape {
 public:
  /// Copies the network. `inputs` says which loss.
  Landscape(const nn::Module& model,
            std::span<const nn::NamedParameter> weights,
            const PruneInputs& inputs,
            const LandscapeOptions& options);

  /// dL/dw, float64, one tensor per weight in its shape; zeros where the loss does not depend on
  /// it.
  std::vector<Tensor> gradient(const data::Batch& batch);
  /// H v of the same weights. `v` and the result as in `hessian_vector_product`.
  std::vector<Tensor> hessian_times(const data::Batch& batch, std::span<const Tensor> v);
  /// Outputs of the network for a sample.
  int64_t outputs(const data::Batch& batch);

 private:
  Variable logits(const Tensor& images);
  Variable loss(const data::Batch& batch);

  std::unique_ptr<nn::Module> net_;
  std::vector<Variable> weights_;
  std::function<Variable(const Variable&, const Tensor&)> loss_;
  std::optional<DType> precision_;
};

}  // namespace espalier::prune
