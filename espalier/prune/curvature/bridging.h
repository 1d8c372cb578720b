// SPDX-License-Identifier: Apache-2.0
/// Bridging gradients: what the loss would do if the inputs of a hidden layer reached the outputs
/// of the next one directly. They tell where a neuron between the two would help.
///
/// Source: Dai, Yin, Jha, arXiv 1711.02017.
#pragma once

#include <string>
#include <vector>

#include <espalier/nn/module/module.h>
#include <espalier/prune/ground/inputs.h>

namespace espalier::prune {

/// Hidden neurons, made by one linear layer and read by one.
struct NeuronLayer {
  std::string in = {};    ///< name of the weight (neurons, inputs) that makes them
  std::string out = {};   ///< name of the weight (outputs, neurons) that reads them
  std::string bias = {};  ///< name of the first layer's bias; empty: it has none
  int64_t neurons = 0;    ///< outputs of the first layer, inputs of the second
};
/// Those of a network, of whose channel groups a sample of `input_shape` tells; layers with
/// anything else tied to their neurons (batch norm, residual sums, convolutions) are left out.
std::vector<NeuronLayer> neuron_layers(nn::Module& model, const Shape& input_shape);

/// B = sum over samples of dL/du x, of the mean loss over a batch: u (outputs) is what the second
/// layer of each gives, x (inputs) what the first reads. Float64 (outputs, inputs), one per layer;
/// zeros where the loss does not depend on u. In eval mode. Leaves no trace in the model.
std::vector<Tensor> bridging_gradients(nn::Module& model,
                                       const std::vector<NeuronLayer>& layers,
                                       const PruneInputs& inputs,
                                       const data::Batch& batch);

}  // namespace espalier::prune
