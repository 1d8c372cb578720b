// SPDX-License-Identifier: Apache-2.0
/// Walker: goes depth first over a module and all parts, builds the dotted names and checks them,
/// and meets everything that is shared once. Not a public interface.
#pragma once

#include <set>
#include <string>
#include <unordered_set>

#include <espalier/nn/module/module.h>

namespace espalier::nn::detail {

/// Override the `on_` functions that are of interest; names are full.
class Walker : public MemberVisitor {
 public:
  virtual void on_parameter(const std::string&, Parameter&) {}
  virtual void on_buffer(const std::string&, Tensor&) {}
  virtual void on_rng(const std::string&, Rng&) {}
  virtual void on_module(const std::string&, Module&) {}

  /// Visits `root` (with the empty name) and all below it.
  void walk(Module& root);

  void parameter(std::string_view name, Parameter& parameter) final;
  void buffer(std::string_view name, Tensor& buffer) final;
  void rng(std::string_view name, Rng& rng) final;
  void module(std::string_view name, Module& module) final;
  void inner(std::shared_ptr<Module>& part) final;

 private:
  void enter(const std::string& name, Module& module);
  std::string full_name(std::string_view name);

  std::string prefix_;
  Module* current_ = nullptr;        // the module being visited, for errors
  std::set<std::string> own_names_;  // names that this module gave so far
  std::unordered_set<const void*> seen_;
};

}  // namespace espalier::nn::detail
