// SPDX-License-Identifier: Apache-2.0
/// Static against dynamic pruning. Listed so that nobody looks for it in vain; it can't run yet.
#include <espalier/experiments/comparisons/comparisons.h>

namespace espalier::experiments::comparison_list {

Experiment static_dynamic() {
  return {
      .name = "static-dynamic",
      .title = "Static against dynamic pruning",
      .section = "section 7.7, table 9",
      .what = "FBS and CGNet against a static method at equal executed MACs.",
      .unavailable =
          "needs gated networks (FBS, CGNet), which choose channels for each image; this version "
          "has no run-time pruning",
  };
}

}  // namespace espalier::experiments::comparison_list
