// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include <espalier/nn/module/detail/walker.h>

namespace espalier::nn::detail {

void Walker::walk(Module& root) {
  prefix_.clear();
  seen_.clear();
  enter("", root);
}

std::string Walker::full_name(std::string_view name) {
  ESPALIER_CHECK(!name.empty() && name.find('.') == std::string_view::npos,
                 ValueError,
                 "visit: ",
                 current_->describe(),
                 " names a member '",
                 name,
                 "'; a name must not be empty and must not hold a dot");
  ESPALIER_CHECK(own_names_.emplace(name).second,
                 ValueError,
                 "visit: ",
                 current_->describe(),
                 " names two members '",
                 name,
                 "' (in '",
                 prefix_,
                 "'); every member needs a name of its own");
  return prefix_ + std::string(name);
}

void Walker::parameter(std::string_view name, Parameter& parameter) {
  const std::string full = full_name(name);
  if (!parameter.defined() || !seen_.insert(parameter.value.state().get()).second) return;
  on_parameter(full, parameter);
}

void Walker::buffer(std::string_view name, Tensor& buffer) {
  const std::string full = full_name(name);
  if (!buffer.defined() || !seen_.insert(&buffer).second) return;
  on_buffer(full, buffer);
}

void Walker::rng(std::string_view name, Rng& rng) {
  const std::string full = full_name(name);
  if (seen_.insert(&rng).second) on_rng(full, rng);
}

void Walker::module(std::string_view name, Module& module) {
  enter(full_name(name), module);
}

void Walker::inner(std::shared_ptr<Module>& part) {
  if (!part || !seen_.insert(part.get()).second) return;
  on_module(prefix_.empty() ? "" : prefix_.substr(0, prefix_.size() - 1), *part);
  Module* outer = std::exchange(current_, part.get());
  part->visit(*this);
  current_ = outer;
}

void Walker::enter(const std::string& name, Module& module) {
  if (!seen_.insert(&module).second) return;
  on_module(name, module);
  std::string outer_prefix = std::exchange(prefix_, name.empty() ? "" : name + ".");
  Module* outer = std::exchange(current_, &module);
  std::set<std::string> outer_names = std::exchange(own_names_, {});
  module.visit(*this);
  prefix_ = std::move(outer_prefix);
  current_ = outer;
  own_names_ = std::move(outer_names);
}

}  // namespace espalier::nn::detail
