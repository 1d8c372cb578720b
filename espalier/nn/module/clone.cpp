// SPDX-License-Identifier: Apache-2.0
#include <unordered_map>

#include <espalier/nn/module/module.h>

namespace espalier::nn {

// Turns the handles of a shallow copy into copies. What was one thing in the original (a part held
// twice, a variable of two parameters) is one thing in the copy.
class CloneVisitor : public MemberVisitor {
 public:
  void parameter(std::string_view, Parameter& parameter) override {
    if (!parameter.defined()) return;
    const std::shared_ptr<VariableState> original = parameter.value.state();
    const auto done = variables_.find(original);
    if (done != variables_.end()) {
      parameter.value = done->second;
      return;
    }
    parameter = parameter.clone();
    variables_.emplace(original, parameter.value);
  }
  void buffer(std::string_view, Tensor& buffer) override {
    if (buffer.defined()) buffer = buffer.clone();
  }
  void rng(std::string_view, Rng&) override {}
  void module(std::string_view, Module& module) override { module.visit(*this); }
  void part(std::string_view, std::shared_ptr<Module>& part) override {
    if (!part) return;
    std::shared_ptr<Module>& copy = parts_[part];
    if (copy == nullptr) {
      const std::shared_ptr<Module> fresh = part->shallow_copy();
      copy = fresh;
      part = fresh;
      fresh->visit(*this);
      return;
    }
    part = copy;
  }
  using MemberVisitor::part;
  void inner(std::shared_ptr<Module>& member) override { part({}, member); }

 private:
  // The keys own the originals, so that addresses stay unique.
  std::unordered_map<std::shared_ptr<VariableState>, Variable> variables_;
  std::unordered_map<std::shared_ptr<Module>, std::shared_ptr<Module>> parts_;
};

std::unique_ptr<Module> Module::clone() const {
  std::unique_ptr<Module> copy = shallow_copy();
  CloneVisitor visitor;
  copy->visit(visitor);
  return copy;
}

}  // namespace espalier::nn
