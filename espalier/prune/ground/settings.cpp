// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/ground/settings.h>

namespace espalier::prune {

Sparsity PruneSettings::final() const {
  ESPALIER_CHECK(sparsity.has_value(), ValueError, "prune: no sparsity was settled");
  return *sparsity;
}

const OptionTable<PruneSettings>& prune_settings() {
  static const OptionTable<PruneSettings> table = {
      {&PruneSettings::sparsity,
       "sparsity",
       {0, 1},
       "fraction removed",
       "final sparsity over the prunable weights; without, what an N:M pattern implies, else 0.9"},
      {&PruneSettings::pattern,
       "pattern",
       "which weights fall together; empty: the method's default"},
      {&PruneSettings::exclude,
       "exclude",
       "parameter names or prefixes that stay dense, separated by commas"},
      {&PruneSettings::min_per_layer,
       "min-per-layer",
       {0, 1e9},
       "units",
       "kept in every layer at least"},
      {&PruneSettings::allow_collapse,
       "allow-collapse",
       "train on when no path of weights leads from the input to an output"},
      {&PruneSettings::ablation,
       "ablation",
       {"none", "shuffle", "invert", "reinit"},
       "sanity check: shuffle masks within layers, invert scores, or start again from fresh "
       "weights"},
  };
  return table;
}

}  // namespace espalier::prune
