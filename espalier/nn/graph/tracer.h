// SPDX-License-Identifier: Apache-2.0
/// The tracer: runs a network once and makes its graph (graph.h). The only one that listens to ops.
#pragma once

#include <vector>

#include <espalier/nn/graph/graph.h>

namespace espalier::nn {

/// Runs `model` in eval mode on `input` without recording, restores its training flags, and returns
/// its graph. Nothing is changed. A trace is no work: a layer that runs densely in it is no error
/// of `require_sparse`.
NetworkGraph trace_network(Module& model, const Variable& input);

/// A run whose values are still there.
struct TracedRun {
  NetworkGraph graph;            ///< of the run
  std::vector<Variable> values;  ///< by their numbers in the graph; activations too
  Variable output;               ///< of the network
};

/// The same as the model stands, in training or evaluation, recording or not, for readers that need
/// the numbers of activations or derivatives with respect to them. All activations stay in memory
/// until the result goes.
TracedRun trace_run(Module& model, const Variable& input);

}  // namespace espalier::nn
