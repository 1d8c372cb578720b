// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/train/detail/member_check.h>

#include <espalier/autograd/variable_state.h>

namespace espalier::nn::detail {

MemberCheck::MemberCheck(Module& model, const Optimizer& optimizer) {
  for (const NamedModule& part : model.named_modules()) names_.emplace(part.module, part.name);
  for (const NamedParameter& p : model.named_parameters()) {
    known_.insert(p.parameter->value.state().get());
  }
  for (const ParameterGroup& group : optimizer.groups()) {
    for (const NamedParameter& p : group.parameters) {
      known_.insert(p.parameter->value.state().get());
    }
  }
}

void MemberCheck::enter(Module& module, const Variable&) {
  if (of_others_ > 0 || (open_.empty() && !names_.contains(&module))) {
    ++of_others_;
    return;
  }
  ESPALIER_CHECK(
      names_.contains(&module),
      ValueError,
      "fit: ",
      open_.back()->describe(),
      names_.at(open_.back()).empty() ? std::string() : cat(" ('", names_.at(open_.back()), "')"),
      " calls ",
      module.describe(),
      ", which no visit() names: it would be neither trained, saved, nor switched to "
      "evaluation. Name it in visit(), as visitor.module(\"name\", member)");
  open_.push_back(&module);
}

void MemberCheck::leave(Module&, const Variable&, const Variable&) {
  if (of_others_ > 0) {
    --of_others_;
  } else {
    open_.pop_back();
  }
}

void MemberCheck::check_parameters(const Variable& output) const {
  std::unordered_set<const Node*> seen;
  std::vector<std::shared_ptr<Node>> waiting = {producer(output)};
  while (!waiting.empty()) {
    const std::shared_ptr<Node> node = std::move(waiting.back());
    waiting.pop_back();
    if (node == nullptr || !seen.insert(node.get()).second) continue;
    for (const Node::Edge& edge : node->inputs()) {
      ESPALIER_CHECK(
          edge.leaf == nullptr || known_.contains(edge.leaf.get()),
          ValueError,
          "fit: op '",
          node->name(),
          "' reads a parameter of shape ",
          edge.leaf ? edge.leaf->shape() : Shape(),
          " that no visit() names: it would be neither trained nor saved. Name it in "
          "visit(), as visitor.parameter(\"name\", member), or give it to the optimizer");
      waiting.push_back(edge.node);
    }
  }
}

}  // namespace espalier::nn::detail
