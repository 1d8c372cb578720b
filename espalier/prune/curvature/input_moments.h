// SPDX-License-Identifier: Apache-2.0
/// Mean and variance of every input that a layer multiplies its weight with, over data.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include <espalier/nn/module/module.h>
#include <espalier/prune/ground/inputs.h>

namespace espalier::prune {

/// The moments of some layers' inputs. A score finds them of the network as it is, and the repair
/// of the same update still has them.
class InputMoments {
 public:
  /// Of one layer, by column of its matrix (layer_inputs.h).
  struct Columns {
    int64_t positions = 0;         ///< over which they are
    std::vector<double> mean;      ///< of each column
    std::vector<double> deviance;  ///< sum of squared differences from the mean
    /// Of the sample: the deviance over positions - 1; 0 of a single position.
    double variance(size_t column) const;
  };

  /// Over so many batches; nothing is known yet.
  explicit InputMoments(int64_t batches) : batches_(batches) {}
  /// Finds them for layers that own `weights`, each once. Throws as `visit_layer_inputs`, and
  /// NotImplemented for a grouped convolution.
  void find(nn::Module& model,
            std::span<const nn::NamedParameter> weights,
            const PruneInputs& inputs,
            std::vector<std::string>* notes);
  /// Of a weight, by name. Throws ValueError when they were not found.
  const Columns& of(const std::string& weight) const;
  /// Frees them.
  void forget() { found_.clear(); }

 private:
  int64_t batches_;
  std::map<std::string, Columns> found_;
};

}  // namespace espalier::prune
