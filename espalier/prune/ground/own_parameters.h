// SPDX-License-Identifier: Apache-2.0
/// The parameters of a module without those of its parts. Not a public interface.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <espalier/nn/module/module.h>

namespace espalier::prune {

/// The members that a layer declares itself.
class OwnParameters : public nn::MemberVisitor {
 public:
  void parameter(std::string_view name, nn::Parameter& parameter) override {
    if (parameter.defined()) found.emplace_back(std::string(name), &parameter);
  }
  void buffer(std::string_view, Tensor&) override {}
  void rng(std::string_view, Rng&) override {}
  void module(std::string_view, nn::Module&) override {}

  std::vector<std::pair<std::string, nn::Parameter*>> found;  ///< by name, in order
};

}  // namespace espalier::prune
