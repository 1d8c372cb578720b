// SPDX-License-Identifier: Apache-2.0
/// What the channels of a network cost, and the l1 penalty on their scales that is weighted with
/// it: a channel costs as much as the layers that make and read it spend on it, which depends on
/// how many of their other channels are still alive.
///
/// Source: Gordon, Eban, Nachum, Chen, Wu, Yang, Choi, arXiv 1711.06798, section 3 (MorphNet).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <espalier/prune/budgets/budget.h>
#include <espalier/prune/structure/channel_graph.h>

namespace espalier::prune {

/// A layer as a cost that is a product of its living inputs and outputs.
struct ResourceTerm {
  std::string layer;             ///< dotted
  double unit = 0.0;             ///< of one input with one output; of depthwise layers of a channel
  std::vector<int32_t> in = {};  ///< channel numbers of the graph
  std::vector<int32_t> out = {};  ///< channel numbers of the graph
  bool depthwise = false;         ///< each channel is read by itself
};

/// The terms of all layers of a graph with prunable weights, in multiply-accumulates of one sample
/// (Macs) or in weights (Params), masks not counted. `sample` as in trace_channels. Throws
/// ValueError for another kind.
std::vector<ResourceTerm> resource_terms(nn::Module& model,
                                         const ChannelGraph& graph,
                                         const Variable& sample,
                                         BudgetKind kind);

/// sum of unit * (living inputs) * (living outputs). `alive` is 1 for a living channel.
double resource_cost(std::span<const ResourceTerm> terms, std::span<const uint8_t> alive);

/// The same of channels that live with a probability each, and its derivative by every one.
struct ExpectedCost {
  double cost = 0.0;          ///< sum of unit * sum over inputs of p * sum over outputs of p
  std::vector<double> slope;  ///< d cost / dp
};
/// Channels live independently of each other; of depthwise layers unit * sum of p.
ExpectedCost expected_cost(std::span<const ResourceTerm> terms, std::span<const double> lives);

/// sum of unit * (living inputs * sum over outputs of r + living outputs * sum over inputs of r),
/// of a depthwise layer unit * (sum over inputs of r + sum over outputs of r), with r a size of
/// each channel, 0 for those that are not penalized. Who is alive is a constant.
double resource_penalty(std::span<const ResourceTerm> terms,
                        std::span<const uint8_t> alive,
                        std::span<const double> sizes);
/// Its derivative with respect to every channel's r.
std::vector<double> resource_gradient(std::span<const ResourceTerm> terms,
                                      std::span<const uint8_t> alive);

}  // namespace espalier::prune
