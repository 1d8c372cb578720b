// SPDX-License-Identifier: Apache-2.0
/// What becomes of a layer's output: the scale of the batch norm behind it, and what a residual sum
/// then adds. For methods that refit a layer to the outputs of the original network.
#pragma once

#include <vector>

#include <espalier/nn/module/module.h>

namespace espalier::nn {
class BatchNorm;
}

namespace espalier::prune {

/// Behind a layer that computes y (positions, outputs), the network goes on with
/// scale * y + shortcut, and constants by channel.
struct Response {
  std::vector<double> scale;  ///< of the batch norm in evaluation, per output; 1 without one
  Tensor shortcut;            ///< float64 (positions, outputs); undefined where there is no sum
  nn::BatchNorm* norm;        ///< that reads the layer's outputs, in the model; null: none does
};

/// Runs `model` in eval mode on `images` and follows the output of the layer that owns `weight`,
/// through a batch norm if one reads it, to a residual sum if one comes next. Positions are in the
/// order of `visit_layer_inputs`. Following ends where anything else changes the output, a ReLU or
/// a gate for example; a layer that is called more than once is not followed at all. Throws
/// NotImplemented naming the weight when no called layer multiplies its input with it.
Response response_behind(nn::Module& model, const nn::NamedParameter& weight, const Tensor& images);

}  // namespace espalier::prune
