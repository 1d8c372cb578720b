// SPDX-License-Identifier: Apache-2.0
/// Gates on channels for one step of training, in the weights that read them: what is closed is not
/// read, and its gate has a gradient all the same.
#pragma once

#include <map>
#include <span>
#include <vector>

#include <espalier/prune/sites/site.h>

namespace espalier::prune {

/// One gate for each unit of each site, in all weights that it multiplies (sites/unit_gates.h).
class StepGates {
 public:
  /// `sites` must live as long.
  explicit StepGates(std::span<const Site> sites);
  /// Weights are multiplied with gates, 0 or 1, by site and unit: before a forward pass.
  void close(std::span<const std::vector<uint8_t>> open);
  /// After the backward pass: weights have their values again, and no gradient where a gate is
  /// closed. Returns dL/dm of every gate m, the sum of w dL/d(m w) over the weights w that it
  /// multiplies.
  std::vector<std::vector<double>> reopen();

 private:
  struct Member {
    nn::Parameter* parameter = nullptr;
    size_t site = 0;
    const SitePart* part = nullptr;
  };
  std::vector<Member> members_;
  std::vector<int64_t> units_;               // of each site
  std::vector<std::vector<uint8_t>> open_;   // in this step
  std::map<nn::Parameter*, Tensor> values_;  // before anything was closed
};

}  // namespace espalier::prune
