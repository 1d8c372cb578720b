// SPDX-License-Identifier: Apache-2.0
/// The inverse of a network's empirical Fisher matrix, block by block. Near a minimum the Fisher
/// matrix is about the Hessian of the loss, and its inverse says what a weight is worth and how
/// others can make up for it (linalg/surgeon.h).
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include <espalier/prune/curvature/linalg/inverse_fisher.h>
#include <espalier/prune/curvature/sample_gradients.h>

namespace espalier::prune {

/// Settings of a network's Fisher matrix.
struct FisherBlockOptions {
  SampleGradientOptions data = {};  ///< the gradients
  int64_t block = 64;               ///< entries of a block
  double damping = 1e-5;            ///< added to the diagonal
};

/// The inverse Fisher matrices of a network's weights. A score finds them at the weights as they
/// are, and the repair of the same update still has them.
class FisherBlocks {
 public:
  /// Nothing is known yet.
  explicit FisherBlocks(const FisherBlockOptions& options) : options_(options) {}
  /// Finds them. Notes it when there are fewer gradients than asked for; `notes` may be null.
  void find(const nn::Module& model,
            std::span<const nn::NamedParameter> weights,
            const PruneInputs& inputs,
            std::vector<std::string>* notes);
  /// Of a weight, by name. Throws ValueError when it was not found.
  const InverseFisher& of(const std::string& weight) const;
  /// Frees them.
  void forget() { found_.clear(); }

 private:
  FisherBlockOptions options_;
  std::map<std::string, InverseFisher> found_;
};

}  // namespace espalier::prune
