// SPDX-License-Identifier: Apache-2.0
/// gate(): gates on a network, and their training. No weight is removed; every sample uses a part
/// of them. What gates are is nn/gates.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <espalier/autograd/ops.h>
#include <espalier/nn/gates/attach.h>
#include <espalier/prune/timeline/timeline.h>

namespace espalier::prune {

/// What gates leave out, and so where they are: in convolutions, or in residual blocks. The first
/// place has none; of convolutions it sees the image's colours alone.
enum class GateGrain : uint8_t { Channels, Positions, Blocks };

/// Where a gate may go.
struct GatePlace {
  std::string name = {};              ///< dotted, of the convolution or block
  nn::GateSite convolution = {};      ///< of channels and positions
  nn::BlockGateSite block = {};       ///< of blocks
  int64_t number = 0;                 ///< gates that were put on before
  uint64_t seed = 0;                  ///< as PruneInputs::seed
  Sparsity sparsity = Sparsity(0.0);  ///< S, of what gates leave out

  /// A stream of its own.
  Rng rng(std::string_view purpose) const;
};

/// A gate in a running step.
template <class D>
struct RunningGate {
  D* decision = nullptr;              ///< in the model
  nn::Decided decided = {};           ///< with its tape; undefined for a decision without a price
  Sparsity sparsity = Sparsity(0.0);  ///< as of its place
};

/// What they decided, or its price, side by side: (N,G) of decisions on one unit.
template <class D>
Variable side_by_side(const std::vector<RunningGate<D>>& gates, Variable nn::Decided::*what) {
  std::vector<Variable> columns;
  for (const auto& one : gates) columns.push_back(to_layout(one.decided.*what, Layout::Nchw));
  return concat(columns, 1);
}

/// Of a change that ends at the fraction `until` of a training: how far it is, 0 .. 1.
double done(const nn::TrainState& state, double until);

/// Gates that decide by D, a class of nn/gates, and how they are trained.
template <class D>
struct Gates {
  GateGrain grain = GateGrain::Channels;  ///< what one decision opens
  /// Puts a gate on a place. Returns why the place can have none, or nothing.
  std::function<std::string(const GatePlace&)> add = {};
  /// Before every step, and after the last: what of a decision is a function of the step alone, and
  /// of S.
  std::function<void(D&, const nn::TrainState&, Sparsity)> set = {};
  /// What one gate adds to the loss; may be undefined.
  std::function<Variable(const RunningGate<D>&)> price = {};
  /// What all of them together add, in the order of the model's modules; may be undefined.
  std::function<Variable(const std::vector<RunningGate<D>>&, const nn::TrainState&)> penalty = {};
  /// Of what a place's gate can leave out, the share that is computed when S is so large: by which
  /// a target of MACs finds S.
  std::function<double(const GatePlace&, Sparsity)> computed = {};
  /// Why S does not decide that; empty: it does.
  std::string no_target = {};
};

namespace detail {
/// The same for any decision.
struct AnyGates : Gates<nn::Decision> {
  std::function<bool(const nn::Decision&)> is_own = {};  ///< a decision of the right class
};
std::shared_ptr<Action> gate(AnyGates gates);
}  // namespace detail

/// While its event lasts the gates learn; they stay afterwards. S is the sparsity, or, of a target
/// of MACs, the lowest at which an image is expected to compute as little (gate_share.h). Attaching
/// it puts a gate on every place but the excluded ones, and returns which have none and why; a
/// network that has such gates keeps them. Throws ValueError when no place gets one, when there are
/// gates of another kind, and in a training for a model that it was not attached to. (gate.cpp)
template <class D>
std::shared_ptr<Action> gate(Gates<D> gates) {
  const auto own = [](const RunningGate<nn::Decision>& one) {
    return RunningGate<D>{static_cast<D*>(one.decision), one.decided, one.sparsity};
  };
  detail::AnyGates any;
  any.grain = gates.grain;
  any.add = std::move(gates.add);
  any.computed = std::move(gates.computed);
  any.no_target = std::move(gates.no_target);
  any.is_own = [](const nn::Decision& one) { return dynamic_cast<const D*>(&one) != nullptr; };
  if (gates.set) {
    any.set = [set = std::move(gates.set)](
                  nn::Decision& one, const nn::TrainState& state, Sparsity sparsity) {
      set(static_cast<D&>(one), state, sparsity);
    };
  }
  if (gates.price) {
    any.price = [price = std::move(gates.price), own](const auto& one) { return price(own(one)); };
  }
  if (gates.penalty) {
    any.penalty = [penalty = std::move(gates.penalty), own](const auto& all, const auto& state) {
      std::vector<RunningGate<D>> typed;
      for (const auto& one : all) typed.push_back(own(one));
      return penalty(typed, state);
    };
  }
  return detail::gate(std::move(any));
}

}  // namespace espalier::prune
