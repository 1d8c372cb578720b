// SPDX-License-Identifier: Apache-2.0
/// Layer collapse: masks that cut a network, so that none of its outputs depends on its input any
/// more. What every method asks before it sets its masks.
#pragma once

#include <memory>

#include <espalier/prune/ground/inputs.h>
#include <espalier/prune/ground/report.h>
#include <espalier/prune/ground/settings.h>
#include <espalier/prune/sites/site.h>
#include <espalier/prune/structure/flow_graph.h>

namespace espalier::prune {

/// One sample as `inputs` tell: of their shape, else the first of their first batch (tokens, of
/// which no made-up numbers are samples).
Variable sample_of(nn::Module& model, const PruneInputs& inputs);

/// The paths of a network, for a sample as `inputs` tell (their shape, else their first batch);
/// null when they tell of none.
std::shared_ptr<const FlowGraph> flow_of(nn::Module& model, const PruneInputs& inputs);

/// Throws ValueError when masks cut the network (every way from its input to its outputs), naming
/// the weights at which the ways end; with `settings.allow_collapse` that is a note. Notes outputs
/// that alone are cut off, and weights through which nothing passes beside paths that go on.
/// Without a graph (null), or if it tells of no way even without masks, a layer of `report` with
/// nothing left counts as a cut.
void check_collapse(const FlowGraph* graph,
                    const MaskOf& mask,
                    const PruneSettings& settings,
                    UpdateReport& report);

/// The same before anything is chosen: when sites of which `kept` is 0 keep nothing, and all else
/// stays as it is.
void check_empty_sites(const FlowGraph* graph,
                       const std::vector<Site>& sites,
                       const std::vector<int64_t>& kept,
                       const PruneSettings& settings);

}  // namespace espalier::prune
