// SPDX-License-Identifier: Apache-2.0
// The backward pass: walks the tape from the newest op to the oldest. An op is newer than all that
// it was computed from, so that order is a topological one.
#include <algorithm>
#include <map>
#include <queue>
#include <unordered_map>
#include <unordered_set>

#include <espalier/autograd/kept_gradient.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/saved.h>
#include <espalier/autograd/variable_state.h>
#include <espalier/core/loops.h>

namespace espalier {
namespace {

struct Newest {
  bool operator()(const std::shared_ptr<Node>& a, const std::shared_ptr<Node>& b) const {
    return TapeAccess::sequence(*a) < TapeAccess::sequence(*b);
  }
};

// Whether nobody but the backward pass knows this gradient.
bool exclusive(const Variable& gradient) {
  return gradient.state().use_count() == 1 && gradient.value().owns_storage() &&
         gradient.value().is_contiguous();
}

// sum += gradient, unless somebody else sees that memory or the two are not alike.
bool add_in_place(Variable& sum, const Variable& gradient) {
  const Tensor& part = gradient.value();
  Tensor& total = sum.value();
  if (!exclusive(sum) || total.dtype() != part.dtype() || total.layout() != part.layout() ||
      total.shape() != part.shape() || !is_floating(part.dtype())) {
    return false;
  }
  dispatch_floating(part.dtype(), "backward", [&](auto zero) {
    using T = decltype(zero);
    map_into<T, T, T>(total, total, part, [](T a, T b) { return a + b; });
  });
  return true;
}

// Whether a gradient holds kept values only; backward functions make those in memory of their own.
bool is_kept(const Variable& gradient) {
  return gradient.state()->kept.support != nullptr;
}

class BackwardPass {
 public:
  BackwardPass(bool create_graph, bool retain_graph)
      : create_graph_(create_graph), retain_graph_(retain_graph) {}

  void seed(const Variable& output, const Variable& gradient) {
    seeds_.push_back(gradient);
    if (const auto node = producer(output)) {
      add_to_node(node, gradient);
    } else if (output.requires_grad()) {
      add_to_leaf(output.state(), gradient);
    }
  }

  /// Stop at these: their gradients are wanted, and nothing behind them is unless something else
  /// needs it.
  void want(const Variable& input) {
    if (const auto node = producer(input)) {
      wanted_nodes_.insert(node.get());
    } else {
      wanted_leaves_.insert(input.state().get());
    }
  }

  void run() {
    if (!wanted_nodes_.empty() || !wanted_leaves_.empty()) mark_paths();
    const RecordingScope scope(create_graph_);
    while (!queue_.empty()) {
      const std::shared_ptr<Node> node = queue_.top();
      queue_.pop();
      visit(node);
    }
    for (auto& [leaf, gradient] : leaf_gradients_) {
      gradient = apply_hooks(leaf->leaf_hooks, gradient);
    }
  }

  void accumulate_leaves() {
    const RecordingScope scope(create_graph_);
    for (size_t i = 0; i < leaf_gradients_.size(); ++i) {
      const auto& [leaf, gradient] = leaf_gradients_[i];
      Variable variable(leaf);
      const Variable& old = variable.grad();
      variable.set_grad(old.defined() ? sum_of(old, gradient) : own(i));
    }
  }

  Variable gradient_of(const Variable& input) const {
    if (const auto node = producer(input)) {
      const auto found = finished_.find(node.get());
      return found == finished_.end() ? Variable() : found->second;
    }
    for (const auto& [leaf, gradient] : leaf_gradients_) {
      if (leaf == input.state()) return gradient;
    }
    return {};
  }

 private:
  // The i-th leaf's gradient in memory that nobody else sees: optimizers and clipping write to it.
  // Backward functions may pass one tensor on to several inputs, or a view that repeats elements.
  Variable own(size_t i) const {
    if (is_kept(leaf_gradients_[i].second)) return leaf_gradients_[i].second;
    const Tensor& gradient = leaf_gradients_[i].second.value();
    bool shared = !gradient.is_contiguous();
    for (const Variable& given : seeds_) shared = shared || gradient.shares_storage(given.value());
    for (size_t other = 0; !shared && other < leaf_gradients_.size(); ++other) {
      shared = other != i && !is_kept(leaf_gradients_[other].second) &&
               gradient.shares_storage(leaf_gradients_[other].second.value());
    }
    return shared ? Variable(gradient.clone()) : leaf_gradients_[i].second;
  }

  // For grad(): which nodes lie on a path from a wanted input to an output.
  void mark_paths() {
    restricted_ = true;
    // Nodes in order of age: everything a node depends on is older.
    std::map<uint64_t, Node*> reachable;
    std::vector<Node*> stack;
    for (const auto& [node, gradient] : gradients_) stack.push_back(node);
    while (!stack.empty()) {
      Node* node = stack.back();
      stack.pop_back();
      if (!reachable.emplace(TapeAccess::sequence(*node), node).second) continue;
      for (const Node::Edge& edge : node->inputs()) {
        if (edge.node) stack.push_back(edge.node.get());
      }
    }
    for (const auto& [sequence, node] : reachable) {
      for (const Node::Edge& edge : node->inputs()) {
        if (leads_to_wanted(edge)) useful_.insert(node);
      }
    }
  }

  bool leads_to_wanted(const Node::Edge& edge) const {
    if (edge.node) return wanted_nodes_.count(edge.node.get()) || useful_.count(edge.node.get());
    return edge.leaf && wanted_leaves_.count(edge.leaf.get());
  }

  bool is_needed(const Node::Edge& edge) const {
    if (!edge.node && !edge.leaf) return false;
    return !restricted_ || leads_to_wanted(edge);
  }

  void visit(const std::shared_ptr<Node>& node) {
    Variable gradient = std::move(gradients_.at(node.get()));
    gradients_.erase(node.get());
    gradient = apply_hooks(TapeAccess::hooks(*node), gradient);
    if (wanted_nodes_.count(node.get())) finished_[node.get()] = gradient;
    if (restricted_ && !useful_.count(node.get())) return;

    ESPALIER_CHECK(!TapeAccess::released(*node),
                   Error,
                   "backward: the tensors that `",
                   node->name(),
                   "` saved are already released; pass retain_graph to the first backward pass");
    std::vector<bool> needs, unseen;
    for (const Node::Edge& edge : node->inputs()) {
      needs.push_back(is_needed(edge));
      unseen.push_back(edge.node && TapeAccess::hooks(*edge.node).empty() &&
                       !wanted_nodes_.contains(edge.node.get()));
    }
    const detail::BackwardOf running(node->name());
    const Variable output = saved_output(node);
    std::vector<Variable> gathered = take_gathered(*node, needs);
    std::vector<Variable> gradients = TapeAccess::backward(*node)(BackwardContext{
        gradient, output, needs, gathered, unseen, !create_graph_ && is_ours(gradient)});
    gradient = {};  // its memory may be a result's now
    ESPALIER_CHECK(gradients.size() == node->inputs().size(),
                   Error,
                   "backward of `",
                   node->name(),
                   "`: expects ",
                   node->inputs().size(),
                   " gradients, got ",
                   gradients.size());
    if (!retain_graph_ && !create_graph_) TapeAccess::release(*node);
    give_back(*node, gathered, gradients);
    for (size_t i = 0; i < gradients.size(); ++i) {
      if (!needs[i] || !gradients[i].defined()) continue;
      const Node::Edge& edge = node->inputs()[i];
      if (edge.node) {
        add_to_node(edge.node, gradients[i]);
      } else {
        add_to_leaf(edge.leaf, gradients[i]);
      }
    }
  }

  // Whether no other handle leads to a gradient's memory: of a caller, a hook, another gradient.
  static bool is_ours(const Variable& gradient) {
    const Tensor& value = gradient.state()->value;
    return gradient.state().use_count() == 1 && value.defined() && value.owns_storage();
  }

  static Variable saved_output(const std::shared_ptr<Node>& node) {
    const auto& [saved, packed] = TapeAccess::saved_output(*node);
    if (!packed && !saved.tensor().defined()) return {};
    if (saved.changed()) detail::throw_changed(saved.tensor());
    Variable output(packed ? packed->tensor() : saved.tensor());
    output.state()->producer = node;
    return output;
  }

  // Takes the gradients of a node's inputs out of the pass, so that its backward function may add
  // to them in place; their nodes stay queued.
  std::vector<Variable> take_gathered(const Node& node, const std::vector<bool>& needs) {
    std::vector<Variable> gathered(needs.size());
    if (create_graph_) return gathered;
    for (size_t i = 0; i < needs.size(); ++i) {
      const Node::Edge& edge = node.inputs()[i];
      const bool once = std::ranges::count(node.inputs(), edge.node, &Node::Edge::node) == 1;
      if (!needs[i] || !edge.node || !once) continue;
      const auto found = gradients_.find(edge.node.get());
      if (found != gradients_.end() && exclusive(found->second)) {
        gathered[i] = std::move(found->second);
      }
    }
    return gathered;
  }

  // Puts them back, or the sums that the backward function returned in their memory; those are then
  // no gradients to add any more.
  void give_back(const Node& node,
                 std::vector<Variable>& gathered,
                 std::vector<Variable>& gradients) {
    for (size_t i = 0; i < gathered.size(); ++i) {
      if (!gathered[i].defined()) continue;
      const bool added =
          gradients[i].defined() && gradients[i].value().shares_storage(gathered[i].value());
      gradients_.at(node.inputs()[i].node.get()) = std::move(added ? gradients[i] : gathered[i]);
      if (added) gradients[i] = Variable();
      gathered[i] = Variable();
    }
  }

  void add_to_node(const std::shared_ptr<Node>& node, const Variable& gradient) {
    const auto [found, inserted] = gradients_.try_emplace(node.get(), gradient);
    if (inserted) {
      queue_.push(node);
    } else {
      const RecordingScope scope(create_graph_);
      if (create_graph_ || !add_in_place(found->second, gradient)) {
        found->second = add(found->second, gradient);
      }
    }
  }

  void add_to_leaf(const std::shared_ptr<VariableState>& leaf, const Variable& gradient) {
    ESPALIER_CHECK(gradient.state()->shape() == leaf->value.shape(),
                   ShapeError,
                   "backward: a gradient of shape ",
                   gradient.state()->shape(),
                   " came for a leaf of shape ",
                   leaf->value.shape());
    const auto found = leaf_index_.find(leaf.get());
    if (found == leaf_index_.end()) {
      leaf_index_[leaf.get()] = leaf_gradients_.size();
      leaf_gradients_.emplace_back(leaf, gradient);
    } else {
      const RecordingScope scope(create_graph_);
      Variable& old = leaf_gradients_[found->second].second;
      old = sum_of(old, gradient);
    }
  }

  // Kept values stay such, where both gradients are of one support.
  Variable sum_of(const Variable& a, const Variable& b) const {
    const auto& support = a.state()->kept.support;
    const Tensor* more = kept_values_of(b, support.get());
    if (create_graph_ || more == nullptr) return add(a, b);
    Tensor sum = Tensor::empty_like(*more);
    dispatch_floating(sum.dtype(), "backward", [&](auto zero) {
      using T = decltype(zero);
      map_into<T, T, T>(sum, a.state()->kept.values, *more, [](T x, T y) { return x + y; });
    });
    return kept_gradient(std::move(sum), support);
  }

  Variable apply_hooks(const std::vector<GradientHook>& hooks, Variable gradient) const {
    for (const GradientHook& hook : hooks) {
      Variable replaced = hook(gradient);
      if (replaced.defined()) gradient = replaced;
    }
    return gradient;
  }

  const bool create_graph_;
  const bool retain_graph_;
  bool restricted_ = false;
  std::vector<Variable> seeds_;
  std::unordered_set<const Node*> wanted_nodes_;
  std::unordered_set<const VariableState*> wanted_leaves_;
  std::unordered_set<const Node*> useful_;
  std::unordered_map<Node*, Variable> gradients_;
  std::unordered_map<const Node*, Variable> finished_;
  std::vector<std::pair<std::shared_ptr<VariableState>, Variable>> leaf_gradients_;
  std::unordered_map<const VariableState*, size_t> leaf_index_;
  std::priority_queue<std::shared_ptr<Node>, std::vector<std::shared_ptr<Node>>, Newest> queue_;
};

Variable seed_for(const Variable& output, const Variable& gradient, std::string_view op) {
  if (gradient.defined()) {
    ESPALIER_CHECK(gradient.shape() == output.shape(),
                   ShapeError,
                   op,
                   ": the gradient must have the output's shape ",
                   output.shape(),
                   ", got ",
                   gradient.shape());
    return gradient;
  }
  ESPALIER_CHECK(output.numel() == 1,
                 ShapeError,
                 op,
                 ": the output has shape ",
                 output.shape(),
                 "; without a gradient argument it must have exactly one element");
  return Variable(Tensor::full_like(output.value(), 1.0));
}

}  // namespace

void Variable::backward(const Variable& gradient, bool retain_graph) const {
  ESPALIER_CHECK(requires_grad(),
                 ValueError,
                 "backward: nothing that this variable depends on wants a gradient");
  BackwardPass pass(false, retain_graph);
  pass.seed(*this, seed_for(*this, gradient, "backward"));
  pass.run();
  pass.accumulate_leaves();
}

std::vector<Variable> grad(const std::vector<Variable>& outputs,
                           const std::vector<Variable>& inputs,
                           const GradOptions& options) {
  ESPALIER_CHECK(options.grad_outputs.empty() || options.grad_outputs.size() == outputs.size(),
                 ValueError,
                 "grad: expects one entry of grad_outputs for each of ",
                 outputs.size(),
                 " outputs, got ",
                 options.grad_outputs.size());
  BackwardPass pass(options.create_graph, options.retain_graph || options.create_graph);
  for (const Variable& input : inputs) {
    ESPALIER_CHECK(input.requires_grad(),
                   ValueError,
                   "grad: an input does not want a gradient; set requires_grad");
    pass.want(input);
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    const Variable given = options.grad_outputs.empty() ? Variable() : options.grad_outputs[i];
    pass.seed(outputs[i], seed_for(outputs[i], given, "grad"));
  }
  pass.run();
  std::vector<Variable> result;
  for (size_t i = 0; i < inputs.size(); ++i) {
    result.push_back(pass.gradient_of(inputs[i]));
    ESPALIER_CHECK(result.back().defined() || options.allow_unused,
                   ValueError,
                   "grad: the outputs do not depend on input ",
                   i,
                   "; pass allow_unused to get an undefined gradient");
  }
  return result;
}

}  // namespace espalier
