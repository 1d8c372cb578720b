// SPDX-License-Identifier: Apache-2.0
/// How much of a network with gates is computed when each gate is open to a given share: what a
/// target of MACs means for gates, whose weights all stay. Not a public interface.
#pragma once

#include <map>
#include <string>
#include <vector>

#include <espalier/prune/actions/gate.h>
#include <espalier/prune/structure/channel_graph.h>

namespace espalier::prune {

/// A network and the places of its gates.
class GatedCost {
 public:
  /// Of `model` as it is without forms and gates, with all of its weights. `places` are names of
  /// convolutions or blocks, as `grain` says.
  GatedCost(nn::Module& model,
            const Shape& sample,
            GateGrain grain,
            const std::vector<std::string>& places);
  /// The expected share of the dense network's MACs, where of what each place's gate may leave out
  /// this share is computed, by name, each independently of the others. A convolution with gated
  /// channels also skips inputs that gates in front of it have closed. What gates need to decide is
  /// not counted.
  double share(const std::map<std::string, double>& computed) const;

 private:
  double open_inputs(const LayerChannels& layer, const std::vector<double>& open) const;

  GateGrain grain_;
  double whole_ = 0.0;                   // MACs of the dense network
  std::map<std::string, double> gated_;  // MACs of what a place can leave out
  std::vector<LayerChannels> layers_;    // of gated channels: all
  size_t channels_ = 0;
};

}  // namespace espalier::prune
