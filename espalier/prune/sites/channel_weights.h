// SPDX-License-Identifier: Apache-2.0
/// How many prunable weights a choice of channels leaves, each counted once: a weight between two
/// channels goes with either of them, and is gone only once.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <espalier/prune/sites/site.h>

namespace espalier::prune {

/// Keeps count while channels go one by one. At the start all are there.
///
/// A weight (O, I, R, S) of which o output and i input indices are left keeps o i R S entries, so
/// only two numbers are needed for each. Between layers of 16 channels, 8 of 16 leave 8*8 of 16*16
/// weights, a quarter. Adding up what belongs to each channel would count every weight twice, with
/// its row and with its column, and call that one half.
class ChannelWeights {
 public:
  /// `sites` of channel groups; only entries of `weights` count, those outside of all groups too.
  ChannelWeights(std::span<const Site> sites, std::span<const nn::NamedParameter> weights);

  /// Takes a channel away; once.
  void remove(size_t site, int64_t unit);
  /// Prunable weights that are left.
  int64_t left() const { return left_; }
  /// Prunable weights at the start.
  int64_t total() const { return total_; }

 private:
  /// A weight tensor and the indices that are left along its dimensions.
  struct Matrix {
    int64_t rows = 0;
    int64_t columns = 0;
    int64_t inner = 0;
    int64_t left() const { return rows * columns * inner; }
  };
  /// Indices of one dimension of one weight that go with a channel.
  struct Share {
    size_t matrix;
    bool row;
    int64_t indices;
  };

  std::vector<Matrix> matrices_;
  std::vector<std::vector<std::vector<Share>>> shares_;  // by site and unit
  int64_t left_ = 0;
  int64_t total_ = 0;
};

}  // namespace espalier::prune
