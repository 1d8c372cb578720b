// SPDX-License-Identifier: Apache-2.0
/// Counting multiply-accumulates (MACs) as kernels report them, so that a sparse network's cost is
/// taken where it arises and not computed from its masks. A sparse kernel reports its products with
/// kept weights, a dense one all of the definition, even where Winograd's algorithm gets by with
/// fewer multiplications.
#pragma once

#include <cstdint>

namespace espalier {

/// Called by the forward kernels of layers, once a call and in the calling thread, with the MACs of
/// the whole batch (padding lanes are not in). Does nothing when no counter lives.
void count_macs(int64_t macs);

/// Sums up what kernels report in this thread while it lives. Counters nest: the outer sees it all.
class MacCounter {
 public:
  /// Starts at 0.
  MacCounter();
  ~MacCounter();
  MacCounter(const MacCounter&) = delete;
  MacCounter& operator=(const MacCounter&) = delete;

  /// MACs so far.
  int64_t macs() const { return macs_; }

 private:
  friend void count_macs(int64_t macs);
  MacCounter* outer_;
  int64_t macs_ = 0;
};

}  // namespace espalier
