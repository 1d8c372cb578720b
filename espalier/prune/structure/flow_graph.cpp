// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/structure/flow_graph.h>

#include <algorithm>
#include <limits>

namespace espalier::prune {
namespace {

size_t at(int64_t index) {
  return static_cast<size_t>(index);
}

}  // namespace

/// What masks leave of every call: for matrices which inputs each output still reads.
class FlowGraph::Kept {
 public:
  Kept(const FlowGraph& graph, const MaskOf& mask) {
    for (const Call& call : graph.calls_) {
      std::vector<Tensor> masks;
      bool none = false;
      bool all = true;
      for (const Weight& weight : call.weights) {
        masks.push_back(mask(*weight.parameter));
        const int64_t kept = count(masks.back(), weight.parameter->numel());
        none = none || kept == 0;
        all = all && kept == weight.parameter->numel();
      }
      of_.push_back({all, none, all || none ? std::vector<uint8_t>{} : links(call, masks.front())});
    }
  }

  /// Nothing is left of one of its weights.
  bool empty(size_t call) const { return of_[call].none; }

  /// Calls `action(input)` for every input, as a place in `call.in`, that the output depends on.
  template <class Action>
  void for_inputs(const Call& call, size_t number, int64_t out, const Action& action) const {
    const OfCall& kept = of_[number];
    if (kept.none) return;
    const auto inputs = static_cast<int64_t>(call.in.size());
    if (call.rule == Rule::Whole) {
      for (int64_t i = 0; i < inputs; ++i) action(at(i));
    } else if (call.rule == Rule::PerChannel) {
      if (kept.all || kept.links[at(out)] != 0) action(at(out));
    } else {
      const int64_t columns = inputs / call.groups;
      const int64_t first = out / (call.outs / call.groups) * columns;
      for (int64_t i = 0; i < columns; ++i) {
        if (kept.all || kept.links[at(out * columns + i)] != 0) action(at(first + i));
      }
    }
  }

 private:
  struct OfCall {
    bool all;
    bool none;
    std::vector<uint8_t> links;  // (outputs, inputs of a group), or (channels)
  };

  static int64_t count(const Tensor& mask, int64_t numel) {
    if (!mask.defined()) return numel;
    const uint8_t* m = mask.data<uint8_t>();
    return std::count_if(m, m + numel, [](uint8_t keep) { return keep != 0; });
  }

  static std::vector<uint8_t> links(const Call& call, const Tensor& mask) {
    if (call.rule == Rule::Whole) return {};
    const int64_t columns = call.rule == Rule::PerChannel ? 1 : mask.size(1);
    std::vector<uint8_t> result(at(mask.size(0) * columns), 0);
    const int64_t inner = mask.numel() / static_cast<int64_t>(result.size());
    const uint8_t* m = mask.data<uint8_t>();
    for (int64_t i = 0; i < mask.numel(); ++i) result[at(i / inner)] |= m[i];
    return result;
  }

  std::vector<OfCall> of_;
};

std::vector<uint8_t> FlowGraph::reached(const Kept& kept) const {
  std::vector<uint8_t> reached(nodes_.size(), 0);
  for (size_t n = 0; n < nodes_.size(); ++n) {
    const Node& node = nodes_[n];
    bool here = n == 0;  // the input
    for (const int32_t from : node.from) here = here || reached[at(from)] != 0;
    if (node.call >= 0) {
      const Call& call = calls_[at(node.call)];
      kept.for_inputs(call, at(node.call), node.out, [&](size_t input) {
        here = here || (call.in[input] >= 0 && reached[at(call.in[input])] != 0);
      });
    }
    reached[n] = here ? 1 : 0;
  }
  return reached;
}

std::vector<uint8_t> FlowGraph::leading(const Kept& kept) const {
  std::vector<uint8_t> leading(nodes_.size(), 0);
  for (const auto& output : outputs_) {
    for (const int32_t node : output) leading[at(node)] = 1;
  }
  for (size_t n = nodes_.size(); n-- > 0;) {
    if (leading[n] == 0) continue;
    const Node& node = nodes_[n];
    for (const int32_t from : node.from) leading[at(from)] = 1;
    if (node.call < 0) continue;
    const Call& call = calls_[at(node.call)];
    kept.for_inputs(call, at(node.call), node.out, [&](size_t input) {
      if (call.in[input] >= 0) leading[at(call.in[input])] = 1;
    });
  }
  return leading;
}

/// Back from the lost outputs through all that nothing reaches, as the network is without masks, up
/// to the layers at which something arrives.
std::vector<std::string> FlowGraph::ends_of_ways(const Kept& kept,
                                                 const std::vector<uint8_t>& reached,
                                                 const std::vector<int64_t>& lost) const {
  std::vector<uint8_t> ends(calls_.size(), 0);
  std::vector<uint8_t> seen(nodes_.size(), 0);
  std::vector<int32_t> open;
  const auto visit = [&](int32_t node) {
    if (node < 0 || reached[at(node)] != 0 || seen[at(node)] != 0) return;
    seen[at(node)] = 1;
    open.push_back(node);
  };
  for (const int64_t output : lost) {
    for (const int32_t node : outputs_[at(output)]) visit(node);
  }
  while (!open.empty()) {
    const Node& node = nodes_[at(open.back())];
    open.pop_back();
    for (const int32_t from : node.from) visit(from);
    if (node.call < 0) continue;
    const Call& call = calls_[at(node.call)];
    const bool arrives =
        std::ranges::any_of(call.in, [&](int32_t in) { return in >= 0 && reached[at(in)] != 0; });
    if (arrives || kept.empty(at(node.call))) ends[at(node.call)] = 1;
    if (arrives) continue;
    for (const int32_t in : call.in) visit(in);
  }
  return names_of(ends);
}

std::vector<std::string> FlowGraph::names_of(const std::vector<uint8_t>& calls) const {
  std::vector<std::string> names;
  for (size_t c = 0; c < calls.size(); ++c) {
    if (calls[c] == 0) continue;
    for (const Weight& weight : calls_[c].weights) {
      if (std::ranges::find(names, weight.name) == names.end()) names.push_back(weight.name);
    }
  }
  return names;
}

/// A layer that is called twice is idle if nothing passes either time.
std::vector<uint8_t> FlowGraph::idle(const std::vector<uint8_t>& reached,
                                     const std::vector<uint8_t>& leading) const {
  std::vector<uint8_t> idle(calls_.size(), 1);
  for (size_t n = 0; n < nodes_.size(); ++n) {
    if (nodes_[n].call >= 0 && reached[n] != 0 && leading[n] != 0) idle[at(nodes_[n].call)] = 0;
  }
  std::set<const nn::Parameter*> busy;
  for (size_t c = 0; c < calls_.size(); ++c) {
    for (const Weight& one : calls_[c].weights) {
      if (idle[c] == 0) busy.insert(one.parameter);
    }
  }
  for (size_t c = 0; c < calls_.size(); ++c) {
    for (const Weight& one : calls_[c].weights) {
      if (busy.contains(one.parameter)) idle[c] = 0;
    }
  }
  return idle;
}

void FlowGraph::settle() {
  const Kept all(*this, [](const nn::Parameter&) { return Tensor(); });
  const std::vector<uint8_t> from_input = reached(all);
  for (const auto& output : outputs_) {
    const bool depends =
        std::ranges::any_of(output, [&](int32_t n) { return from_input[at(n)] != 0; });
    dense_.push_back(depends ? 1 : 0);
    connected_ = connected_ || depends;
  }
  dense_idle_ = idle(from_input, leading(all));
}

Flow FlowGraph::flow(const MaskOf& mask) const {
  const Kept kept(*this, mask);
  const std::vector<uint8_t> from_input = reached(kept);
  Flow flow;
  bool any = false;
  for (size_t o = 0; o < outputs_.size(); ++o) {
    const bool depends =
        std::ranges::any_of(outputs_[o], [&](int32_t n) { return from_input[at(n)] != 0; });
    any = any || depends;
    if (!depends && dense_[o] != 0) flow.lost_outputs.push_back(static_cast<int64_t>(o));
  }
  flow.cut = connected_ && !any;
  flow.ends = ends_of_ways(kept, from_input, flow.lost_outputs);
  std::vector<uint8_t> without = idle(from_input, leading(kept));
  for (size_t c = 0; c < without.size(); ++c) without[c] &= dense_idle_[c] == 0 ? 1 : 0;
  flow.idle = names_of(without);
  return flow;
}

Flow FlowGraph::flow() const {
  return flow([](const nn::Parameter& parameter) { return parameter.mask(); });
}

int64_t FlowGraph::shortest(const std::set<const nn::Parameter*>& counted) const {
  constexpr int64_t kFar = std::numeric_limits<int64_t>::max();
  const Kept all(*this, [](const nn::Parameter&) { return Tensor(); });
  // A weight that is used twice may serve a way twice, so it counts as nothing.
  std::map<const nn::Parameter*, int> uses;
  for (const Call& call : calls_) {
    for (const Weight& weight : call.weights) ++uses[weight.parameter];
  }
  std::vector<int64_t> steps(nodes_.size(), kFar);
  steps[0] = 0;
  for (size_t n = 1; n < nodes_.size(); ++n) {
    const Node& node = nodes_[n];
    for (const int32_t from : node.from) steps[n] = std::min(steps[n], steps[at(from)]);
    if (node.call < 0) continue;
    const Call& call = calls_[at(node.call)];
    int64_t own = 0;
    for (const Weight& weight : call.weights) {
      own += counted.contains(weight.parameter) && uses[weight.parameter] == 1 ? 1 : 0;
    }
    all.for_inputs(call, at(node.call), node.out, [&](size_t input) {
      const int32_t in = call.in[input];
      if (in >= 0 && steps[at(in)] != kFar) steps[n] = std::min(steps[n], steps[at(in)] + own);
    });
  }
  int64_t least = kFar;
  for (const auto& output : outputs_) {
    for (const int32_t node : output) least = std::min(least, steps[at(node)]);
  }
  return least == kFar ? 0 : least;
}

std::map<const nn::Parameter*, std::vector<uint8_t>> FlowGraph::output_rows() const {
  std::map<const nn::Parameter*, std::vector<uint8_t>> rows;
  std::vector<uint8_t> makes(nodes_.size(), 0);
  for (const auto& output : outputs_) {
    for (const int32_t node : output) makes[at(node)] = 1;
  }
  for (size_t n = nodes_.size(); n-- > 0;) {
    if (makes[n] == 0) continue;
    const Node& node = nodes_[n];
    for (const int32_t from : node.from) makes[at(from)] = 1;
    if (node.call < 0) continue;
    const Call& call = calls_[at(node.call)];
    if (call.rule == Rule::Whole) continue;  // its outputs are no rows of one weight
    const nn::Parameter* weight = call.weights.front().parameter;
    rows.try_emplace(weight, at(weight->shape()[0]), uint8_t{0}).first->second[at(node.out)] = 1;
    if (call.rule == Rule::PerChannel && call.in[at(node.out)] >= 0) {
      makes[at(call.in[at(node.out)])] = 1;
    }
  }
  return rows;
}

}  // namespace espalier::prune
