// SPDX-License-Identifier: Apache-2.0
/// Weight sharing in training: every prunable weight is one of a few numbers, and training moves
/// those. Which weights exist is decided before (masks), how they are stored after (edc_file.h).
///
/// Source: Han, Mao, Dally, "Deep Compression", arXiv:1510.00149, section 3.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <espalier/nn/train/fit.h>

namespace espalier::nn::compress {

/// log2 of the number of different values of a layer's kept weights.
struct SharingBits {
  int conv = 8;  ///< of weights with planes (rank above 2)
  int fc = 5;    ///< of matrices
  /// Those of one weight.
  int of(const Shape& weight) const { return weight.rank() > 2 ? conv : fc; }
};

/// Throws ValueError naming `op` unless both are in 1..16.
void check_bits(const SharingBits& bits, std::string_view op);

/// Flat positions of the weights that exist: where the mask is 1; without a mask where the value is
/// not 0. Zeros are not clustered.
std::vector<int64_t> kept_positions(const Parameter& weight);

/// Ties weights of equal cluster, from `share` on. Each step every member's gradient is the sum
/// over the cluster, so that the optimizer moves all members alike: its rule is then the
/// centroid's. A pruner that uses sharing calls these as a hook does. No mask may change after
/// `share`.
class WeightSharing {
 public:
  /// `rate` multiplies the summed gradient: a cluster of many members needs a lower learning rate
  /// than one weight.
  explicit WeightSharing(SharingBits bits, double rate = 1.0);

  /// k-means of each of these weights (of `prunable_parameters`); values become their centroids,
  /// and the optimizer's state of these weights zero (members must start alike). `optimizer` may be
  /// null.
  void share(const std::vector<NamedParameter>& weights, Optimizer* optimizer);
  /// True while weights are shared.
  bool active() const { return active_; }
  /// Number of clusters by parameter name.
  std::map<std::string, int64_t> clusters() const;

  /// Before the optimizer: sums gradients over clusters.
  void after_backward(Module& model) const;
  /// After the optimizer: members are equal again to the last bit, whatever order it rounded in.
  void after_step(Module& model) const;

  /// Clusters of a running training, to continue a killed one; empty before `share`.
  std::map<std::string, Tensor> state() const;
  /// Throws ValueError when a tensor is no list of clusters.
  void load_state(const std::map<std::string, Tensor>& state);

 private:
  struct Layer {
    std::vector<int64_t> positions;
    std::vector<uint32_t> index;
    int64_t clusters = 0;
  };
  /// The layer's parameter, checked to have the members it was shared with.
  Parameter& parameter(Module& model, const std::string& name, const Layer& layer) const;

  SharingBits bits_;
  double rate_;
  bool active_ = false;
  std::map<std::string, Layer> layers_;
};

}  // namespace espalier::nn::compress
