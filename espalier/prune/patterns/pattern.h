// SPDX-License-Identifier: Apache-2.0
/// Pattern: which weights of a layer stand or fall together (a unit), and how many units of a
/// neighbourhood may stay. It chooses nothing; scores and select.h do.
///
/// Names (weights are (O,I,R,S); a linear layer is (O,I,1,1)):
///   - unstructured: every weight alone
///   - 4x1, 8x1, BxC: B output channels times C input channels at one tap; the last block may be
///     smaller
///   - kernel: one R x S kernel
///   - stripe: one tap of a filter, all inputs
///   - filter: one output channel
///   - layer: the whole weight
///   - 2:4, N:M: N of every M neighbouring input channels stay
///   - 2:4g4, N:MgG: the same, shared by G neighbouring output channels
///   - n:16, n:M: N of every M, where a method finds N; kernel-pattern: see kernel_pattern.h
///   - channel: a channel of the network with all that is tied to it (structure/): the producers'
///     filters, their batch norm, the consumers' inputs
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <espalier/core/shape.h>
#include <espalier/prune/ground/taxonomy.h>

namespace espalier::prune {

/// The units of one weight tensor.
struct Units {
  int64_t count = 0;  ///< units of the weight
  /// The unit of every weight by flat index; -1 for weights outside of all units. Empty: weight i
  /// is unit i.
  std::vector<int32_t> of_weight = {};
  /// The unit that a weight of this flat position belongs to.
  int64_t unit(int64_t weight) const {
    return of_weight.empty() ? weight : of_weight[static_cast<size_t>(weight)];
  }
};

/// Exactly `keep` of every `size` consecutive units stay; size 0: no such rule.
struct UnitCell {
  int64_t keep = 0;  ///< kept units of a cell
  int64_t size = 0;  ///< units of a cell; 0: no cells
};

/// A kind of sparsity.
class Pattern {
 public:
  virtual ~Pattern() = default;
  /// As typed: `2:4g4`.
  virtual std::string name() const = 0;
  /// What kind of speed-up its masks give.
  virtual Speedup speedup() const = 0;
  /// The units of a weight of rank >= 2; those of a cell are numbered consecutively.
  virtual Units units(const Shape& weight) const = 0;
  /// Why a weight of this shape can't have the pattern; empty if it can.
  virtual std::string refusal(const Shape& /*weight*/) const { return {}; }
  /// Cells of which each keeps the same number; none by default.
  virtual UnitCell cell() const { return {}; }
  /// Units are channels of the network, not parts of one weight: sites come from the channel graph.
  virtual bool coupled() const { return false; }
};

/// The pattern of a name. Throws ValueError with the known forms.
std::shared_ptr<const Pattern> make_pattern(const std::string& name);

/// One name of every form above, for help and for tests.
const std::vector<std::string>& pattern_names();

}  // namespace espalier::prune
