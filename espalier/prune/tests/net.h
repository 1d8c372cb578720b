// SPDX-License-Identifier: Apache-2.0
/// A network of a test's own making.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <espalier/nn/module/module.h>

namespace espalier::prune::testing {

/// Named layers and a function that uses them.
class Net : public nn::Module {
 public:
  using Parts = std::vector<std::pair<std::string, std::shared_ptr<nn::Module>>>;
  using Function = std::function<Variable(Net&, const Variable&)>;
  Net(Parts parts, Function function) : parts_(std::move(parts)), function_(std::move(function)) {}

  nn::Module& operator[](std::string_view name) {
    for (auto& [own, part] : parts_) {
      if (own == name) return *part;
    }
    throw ValueError("no such part");
  }
  Variable forward(const Variable& x) override { return function_(*this, x); }
  void visit(nn::MemberVisitor& visitor) override {
    for (auto& [name, part] : parts_) visitor.part(name, part);
  }
  std::string describe() const override { return "Net"; }

 protected:
  std::unique_ptr<nn::Module> shallow_copy() const override { return std::make_unique<Net>(*this); }

 private:
  Parts parts_;
  Function function_;
};

}  // namespace espalier::prune::testing
