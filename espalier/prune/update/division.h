// SPDX-License-Identifier: Apache-2.0
/// What every site of an update keeps, settled on the network as it is: where layers are pruned one
/// after another, or by other scores than those that divide. Not a public interface.
#pragma once

#include <memory>
#include <vector>

#include <espalier/prune/update/update.h>

namespace espalier::prune {

/// Scores that tell no unit from another.
std::vector<std::vector<double>> equal_scores(const MaskUpdate& update);

/// A division of one update.
class Division {
 public:
  /// `whole` is an update of all sites that has chosen nothing; `rng` is of the update. Throws
  /// ValueError when the allocation looks at scores and there are none.
  Division(const UpdateParts& parts,
           const Subject& subject,
           MaskUpdate whole,
           const Moment& moment,
           Rng rng);
  /// The moment; of a target that is no sparsity, with the sparsity that meets it.
  const Moment& moment() const { return moment_; }
  /// What every site keeps.
  std::shared_ptr<const Allocation> allocation() const { return allocation_; }

 private:
  void meet_budget(const UpdateParts& parts,
                   const Subject& subject,
                   const MaskUpdate& whole,
                   const std::vector<std::vector<double>>& scores);

  Moment moment_;
  std::shared_ptr<const Allocation> allocation_;
};

}  // namespace espalier::prune
