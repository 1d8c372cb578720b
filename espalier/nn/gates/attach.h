// SPDX-License-Identifier: Apache-2.0
/// Putting gates on a network, taking them off, and telling them in files. Gates are parts of the
/// convolutions: their parameters are the network's (`layer1.0.conv1.gate.weight`), so put them on
/// before the optimizer is made.
#pragma once

#include <string>
#include <vector>

#include <espalier/nn/gates/channel_gate.h>
#include <espalier/nn/gates/position_gate.h>
#include <espalier/nn/layers/batch_norm.h>
#include <espalier/nn/layers/conv2d.h>

namespace espalier::nn {

/// One gated convolution.
struct GatedLayer {
  std::string name;          ///< of the convolution
  Conv2d* layer = nullptr;   ///< in the model
  ConvGate* gate = nullptr;  ///< its gate, held by the layer
};
/// All of a model, in the order of its modules.
std::vector<GatedLayer> gated_layers(Module& model);
/// True when there are any.
bool is_gated(Module& model);
/// Takes all gates off: the network that computes everything. A channel-gated network was trained
/// without batch norm's scale, so its accuracy is lost.
void remove_gates(Module& model);

/// A convolution that may get a gate, and the batch norm that alone reads it (null: none).
struct GateSite {
  std::string name = {};       ///< of the convolution
  Conv2d* layer = nullptr;     ///< in the model
  std::string norm_name = {};  ///< of the batch norm
  BatchNorm* norm = nullptr;   ///< in the model
};
/// All convolutions but the first, in the order in which they run on `example` (N,C,H,W).
std::vector<GateSite> gate_sites(Module& model, const Variable& example);

/// Gives a site a channel gate with phi = 0. Batch norm's scale gamma becomes 1, and rho = gamma
/// and beta = beta / gamma take over: with all channels open the network computes what it did.
/// Gammas below 0.01 count as 0.01, for a saliency is not negative. Throws ValueError for a site
/// without batch norm.
std::shared_ptr<ChannelGate> add_channel_gate(const GateSite& site);
/// Gives a site a position gate. Throws ValueError for groups, and for channels that `parts` does
/// not divide.
std::shared_ptr<PositionGate> add_position_gate(const GateSite& site,
                                                const PositionGate::Options& options);

/// Gates as JSON text: what `restore_gates` needs; empty without gates.
std::string describe_gates(Module& model);
/// Puts gates on, as described, with values still to be loaded. Throws ValueError for a description
/// that does not fit.
void restore_gates(Module& model, const std::string& description);

}  // namespace espalier::nn
