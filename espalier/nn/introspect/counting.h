// SPDX-License-Identifier: Apache-2.0
/// Counting what a network costs: parameters and multiply-accumulates (MACs), whole and per layer.
///
/// Conventions:
///   - MACs of one sample, of layers that multiply by a weight (convolution, linear, the input
///     projection of attention). One MAC is one multiplication and one addition. Not counted:
///     biases, norms, activations, pools, additions, parameter-free shortcuts, embeddings (a
///     look-up), products of activations with each other (attention's scores).
///   - A weight is kept where its mask says so, whatever its value (one that dynamic training has
///     just grown is still zero). Where a parameter has no mask, zeros count as removed. Under a
///     form (nn/forms) those are kept that the form multiplies with in evaluation; of a form with
///     factors (low rank) as many as these have numbers, which are not counted beside them.
///   - dense: every weight position, masked or not. effective: only kept weights; of factors their
///     own products.
///     executed: what the kernels report to have done (core/mac_counter.h), which is dense wherever
///     no sparse kernel ran. It depends on the layout of the input, as the choice of kernels does.
///     Of the whole network it has what runs outside of layers too (heads of gated blocks). Gates
///     are open here; what images leave out is counted where they run (core/mac_counter.h).
///     A shrunk network's dense count is the count of its smaller layers.
///   - Sparsity is the removed fraction of the prunable weights: the weights of all convolution and
///     linear layers, first and last layer included; not biases, norms, embeddings, position
///     tables.
///   - A layer that runs twice counts its parameters once and its MACs twice.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <espalier/nn/module/module.h>

namespace espalier::nn {

/// One layer with parameters of its own.
struct LayerCount {
  std::string name = {};  ///< dotted; empty for parameters that the model itself holds
  std::string kind = {};  ///< `describe()`
  Shape output = {};      ///< with the batch dimension; empty when the trace never ran the layer
  int64_t params = 0;     ///< entries of all parameters
  /// Without entries that are masked, and without zeros of prunable weights that have no mask.
  int64_t params_nonzero = 0;
  int64_t weights = 0;          ///< prunable ones
  int64_t weights_nonzero = 0;  ///< of these, kept
  int64_t macs_dense = 0;       ///< of one sample; see above
  int64_t macs_effective = 0;   ///< of one sample; see above
  int64_t macs_executed = 0;    ///< of one sample; see above
  /// Removed fraction of the prunable weights; 0 without any.
  double sparsity() const;
};

/// The whole network.
struct ModelCount {
  std::vector<LayerCount> layers;  ///< in the order of the parameters
  LayerCount total;                ///< sums; name and kind of the model

  /// Removed fraction of all prunable weights.
  double sparsity() const { return total.sparsity(); }
};

/// True for weights that pruning may remove: named by the coupling of their layer as what its input
/// is multiplied by. `member` is a parameter's own name in `layer`.
bool is_prunable_weight(const Module& layer, std::string_view member, const Parameter& parameter);

/// All prunable weights of a model by dotted name, in the order of the parameters.
std::vector<NamedParameter> prunable_parameters(Module& model);

/// Counts `model` as it runs on `input`: any batch size, one pass in eval mode.
ModelCount count_model(Module& model, const Variable& input);
/// The same of one sample: an image (C,H,W), in the layout of training, or a text (T).
ModelCount count_model(Module& model, const Shape& sample);

}  // namespace espalier::nn
