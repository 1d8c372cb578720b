// SPDX-License-Identifier: Apache-2.0
/// Putting gates on a network and taking them off. Gates are forms of the convolutions and blocks:
/// their parameters are the network's (`layer1.0.conv1.gate.weight`), so put them on before the
/// optimizer is made. Files tell them as all forms (nn/forms/kinds.h).
#pragma once

#include <string>
#include <vector>

#include <espalier/nn/forms/slots.h>
#include <espalier/nn/gates/block_gate.h>
#include <espalier/nn/gates/channel_gate.h>
#include <espalier/nn/gates/firing_head.h>
#include <espalier/nn/gates/gumbel_head.h>
#include <espalier/nn/gates/head.h>
#include <espalier/nn/gates/partial_sum.h>
#include <espalier/nn/gates/position_gate.h>
#include <espalier/nn/gates/saliency.h>
#include <espalier/nn/gates/threshold_head.h>
#include <espalier/nn/layers/batch_norm.h>
#include <espalier/nn/layers/conv2d.h>

namespace espalier::nn {

/// A gate and where it is.
struct PlacedGate {
  std::string name;              ///< of the convolution or block
  Conv2d* layer = nullptr;       ///< the convolution; null for a block
  Attached* part = nullptr;      ///< the gate, held by layer or block, with its kind and members
  Gate* gate = nullptr;          ///< the same
  Decision* decision = nullptr;  ///< what it decides by
};
/// All of a model, in the order of its modules.
std::vector<PlacedGate> placed_gates(Module& model);
/// True when a convolution or a block has a gate.
bool is_gated(Module& model);
/// Takes all gates off: the network that computes everything. A network with channels gated by
/// their saliency was trained without batch norm's scale, so its accuracy is lost.
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

/// Gives a site a gate of channels; it goes on in the site's batch norm if there is one. Throws
/// ValueError for a site that has a form, and for a decision that takes the place of the scale of a
/// batch norm where there is none, NotImplemented where that is not affine.
std::shared_ptr<ChannelGate> add_channel_gate(const GateSite& site,
                                              std::shared_ptr<Decision> decision);
/// The same with a decision by saliency, phi = 0. Batch norm's scale gamma becomes 1, and rho =
/// gamma and beta = beta / gamma take over: with all channels open the network computes what it
/// did. Gammas below 0.01 count as 0.01, for a saliency is not negative.
std::shared_ptr<Saliency> add_saliency_gate(const GateSite& site);

/// Settings of gates of positions that decide by partial sums.
struct PartialSumGateOptions {
  int64_t parts = 4;         ///< p: the partial sum has 1/p of the input channels
  double slope = 2.0;        ///< alpha
  bool sparse_back = false;  ///< no gradient to the gate where it is closed
};
/// Gives a site a gate of positions. Throws ValueError for groups, for channels that `parts` does
/// not divide, and for a site that has a form.
std::shared_ptr<PositionGate> add_position_gate(const GateSite& site,
                                                int64_t parts,
                                                std::shared_ptr<Decision> decision);
/// The same with a decision by partial sums.
std::shared_ptr<PartialSum> add_partial_sum_gate(const GateSite& site,
                                                 const PartialSumGateOptions& options);

/// A residual block that may get a gate.
struct BlockGateSite : BlockSite {
  int64_t inputs = 0;  ///< channels of its input
};
/// All residual blocks of images but the first, in the order in which they run on `example`
/// (N,C,H,W); those that run twice are left out.
std::vector<BlockGateSite> block_gate_sites(Module& model, const Variable& example);
/// Gives a residual block a gate. Throws ValueError for a block that has a form.
std::shared_ptr<BlockGate> add_block_gate(const BlockSite& site,
                                          std::shared_ptr<Decision> decision);

}  // namespace espalier::nn
