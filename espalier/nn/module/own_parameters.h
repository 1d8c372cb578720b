// SPDX-License-Identifier: Apache-2.0
/// The parameters of a module without those of its parts. Not a public interface.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <espalier/nn/module/module.h>

namespace espalier::nn {

/// The members that a layer declares itself.
class OwnParameters : public MemberVisitor {
 public:
  void parameter(std::string_view name, Parameter& parameter) override {
    if (parameter.defined()) found.emplace_back(std::string(name), &parameter);
  }
  void buffer(std::string_view, Tensor&) override {}
  void rng(std::string_view, Rng&) override {}
  void module(std::string_view, Module&) override {}

  std::vector<std::pair<std::string, Parameter*>> found;  ///< by name, in order
};

}  // namespace espalier::nn
