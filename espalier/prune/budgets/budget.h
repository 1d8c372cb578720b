// SPDX-License-Identifier: Apache-2.0
/// Budget: what of a network is counted when it is pruned to a share of it: weights, parameters,
/// multiply-accumulates, bytes, or measured time. It knows networks, not methods: an update asks it
/// what candidates cost, and finds the one that meets the target (update/to_budget.h).
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include <espalier/prune/ground/inputs.h>

namespace espalier::prune {

/// What is counted.
enum class BudgetKind : uint8_t {
  Sparsity,  ///< removed prunable weights
  Macs,      ///< effective multiply-accumulates of one sample (nn/introspect/counting.h)
  Params,    ///< entries of all parameters that are left, channels that can go cut out
  Bytes,     ///< weights, indices and constants of the compiled network (nn/plan/plan.h)
  Latency    ///< seconds of the compiled network for a batch, measured on this machine
};
/// `sparsity`, `macs`, `params`, `bytes`, `latency`.
std::string name(BudgetKind kind);

/// What a network is pruned to.
struct Target {
  BudgetKind kind = BudgetKind::Sparsity;  ///< what is counted
  /// Of Sparsity the removed fraction; of the others the fraction that is left of the dense
  /// network's.
  double share = 0.9;
  /// The fraction that goes.
  double removed() const { return kind == BudgetKind::Sparsity ? share : 1.0 - share; }
};
/// `macs=0.5`. Throws ValueError for an unknown kind and for a share outside of 0 .. `most`.
Target parse_target(const std::string& text, double most = 1.0);
/// As `parse_target` reads it.
std::string text_of(const Target& target);

/// Counts networks of one architecture.
class Budget {
 public:
  virtual ~Budget() = default;
  /// What the network under its masks costs. `model` may be spoiled (its channels cut out): it is a
  /// copy.
  virtual double cost(nn::Module& model) = 0;
  /// True if equal networks always cost the same, so that a target is met to one unit.
  virtual bool exact() const { return true; }
  /// True if every entry of a weight that is kept costs the same, whatever else is kept.
  virtual bool adds_up() const { return false; }
};

/// A copy with nothing masked and nothing zero: what a share of a budget is a share of.
std::unique_ptr<nn::Module> dense_copy(nn::Module& model);

/// A copy of a network without its forms and gates: the weights as they are stored.
std::unique_ptr<nn::Module> without_forms(nn::Module& model);

/// Of a kind, for samples as `inputs` say, `batch` of them at once for Latency, which measures
/// beside `dense` (a copy is kept). Throws ValueError for Sparsity, which needs none, and without
/// `inputs.input_shape`.
std::unique_ptr<Budget> make_budget(BudgetKind kind,
                                    const nn::Module& dense,
                                    const PruneInputs& inputs,
                                    int64_t batch);

}  // namespace espalier::prune
