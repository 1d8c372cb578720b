// SPDX-License-Identifier: Apache-2.0
/// What methods that prune at run time share: putting gates on a network before its optimizer is
/// made. Weights are not masked; every input uses a part of them. Not a public interface.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <espalier/nn/gates/attach.h>
#include <espalier/prune/methods/methods.h>

namespace espalier::prune {

/// Calls `add` for every convolution of a model but the first (its three input channels leave
/// nothing to choose) and the excluded ones. `add` returns why a layer can't have a gate, or
/// nothing; the reasons are returned. A network that has gates of this kind keeps them. Throws
/// ValueError when no layer gets a gate and when there are gates of another kind.
std::vector<std::string> add_gates(
    const std::string& method,
    const std::string& kind,
    const Subject& subject,
    const std::function<std::string(const nn::GateSite&, int64_t number)>& add);

/// The gates of a model, all of one class; or their decisions. Throws ValueError naming the method
/// when there are none: `Pruner::attach` was not called.
template <class Gate>
std::vector<Gate*> gates_of(const std::string& method, nn::Module& model) {
  std::vector<Gate*> out;
  for (const nn::GatedLayer& one : nn::gated_layers(model)) {
    auto* gate = dynamic_cast<Gate*>(one.gate);
    if (gate == nullptr) gate = dynamic_cast<Gate*>(one.decision);
    if (gate != nullptr) out.push_back(gate);
  }
  ESPALIER_CHECK(!out.empty(),
                 ValueError,
                 "prune ",
                 method,
                 ": the network has no gates. Call Pruner::attach before its optimizer is made");
  return out;
}

}  // namespace espalier::prune
