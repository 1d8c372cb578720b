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
       "fraction",
       "of the prunable weights, or of what a method's page says (channels, ..); else what N:M "
       "implies, or 0.9"},
      {&PruneSettings::target,
       "target",
       "instead of a sparsity KIND=SHARE, what is left: macs, params, bytes (of the compiled "
       "plan), latency; or sparsity=S, what is removed"},
      {&PruneSettings::latency_batch,
       "latency-batch",
       {1, 4096},
       "",
       "of a target of latency: samples at once"},
      {&PruneSettings::layer_sparsity,
       "layer-sparsity",
       "sparsities by layer, NAME=S,NAME=S,.., which replace the common one"},
      {&PruneSettings::max_layer_sparsity,
       "max-layer-sparsity",
       {0, 1},
       "fraction removed",
       "no layer loses more than this"},
      {&PruneSettings::round_channels_to,
       "round-channels-to",
       {1, 4096},
       "",
       "of pattern channel: every layer keeps a multiple of it"},
      {&PruneSettings::pattern,
       "pattern",
       "which weights fall together; empty: the method's default"},
      {&PruneSettings::layer_pattern,
       "layer-pattern",
       "patterns by layer, NAME=PATTERN,..; the sparsity is of the others"},
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
       "sanity check: masks shuffled, scores inverted, fresh weights"},
  };
  return table;
}

}  // namespace espalier::prune
