// SPDX-License-Identifier: Apache-2.0
/// k-means of numbers on a line, as weight sharing needs it: which values share which centroid. It
/// knows nothing of layers, masks or training.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace espalier::nn::compress {

/// The centroids of a clustering and the cluster of each value.
struct Clusters {
  std::vector<float> centroids;  ///< ascending, each with at least one member
  std::vector<uint32_t> index;   ///< of every value, in the order given
};

/// `k` centroids at equal distances from the least to the largest value. Large weights, which are
/// few but matter most, get centroids of their own; starting at quantiles or at random does not.
/// Source: Han, Mao, Dally, arXiv:1510.00149, section 3.2.
std::vector<double> linear_centroids(std::span<const float> values, int64_t k);

/// Lloyd's iterations from `linear_centroids`, to their end: min sum (value - centroid)^2. A value
/// in the middle of two centroids belongs to the lower one; a cluster without members keeps its
/// place meanwhile and is dropped at the end. Values with at most k distinct numbers keep those
/// exactly, so that clustering twice changes nothing. Deterministic. Throws ValueError unless k >=
/// 1 and all values are finite.
Clusters kmeans(std::span<const float> values, int64_t k);

/// Bits before over bits after sharing n values of b0 bits among k centroids, before any further
/// coding: n b0 / (n ceil(log2 k) + k b0). Source: arXiv:1510.00149, equation 1.
double sharing_ratio(int64_t n, int64_t k, int64_t b0 = 32);

}  // namespace espalier::nn::compress
