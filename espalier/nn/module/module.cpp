// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <unordered_map>
#include <utility>

#include <espalier/core/detail/nearest_name.h>
#include <espalier/nn/module/detail/walker.h>
#include <espalier/nn/module/module.h>

namespace espalier::nn {

namespace {

class ParameterList : public detail::Walker {
 public:
  void on_parameter(const std::string& name, Parameter& parameter) override {
    found.push_back({name, &parameter});
  }
  std::vector<NamedParameter> found;
};

class BufferList : public detail::Walker {
 public:
  void on_buffer(const std::string& name, Tensor& buffer) override {
    found.push_back({name, &buffer});
  }
  std::vector<NamedBuffer> found;
};

class ModuleList : public detail::Walker {
 public:
  void on_module(const std::string& name, Module& module) override {
    found.push_back({name, &module});
  }
  std::vector<NamedModule> found;
};

std::string nearest_names(std::string_view wanted, std::vector<NamedParameter> all) {
  std::ranges::stable_sort(all, {}, [&](const NamedParameter& p) {
    return espalier::detail::edit_distance(wanted, p.name);
  });
  std::string text;
  for (size_t i = 0; i < std::min<size_t>(all.size(), 3); ++i) {
    text += cat(i == 0 ? "" : ", ", "'", all[i].name, "'");
  }
  return text.empty() ? "the model has no parameters" : "the nearest are " + text;
}

}  // namespace

void MemberVisitor::part(std::string_view name, std::shared_ptr<Module>& part) {
  if (part) module(name, *part);
}

void MemberVisitor::inner(std::shared_ptr<Module>& part) {
  if (part) part->visit(*this);
}

void Module::reset_parameters(const InitRng&) {}

Rng Module::default_init_rng(std::string_view member) {
  return Rng(0, member);
}

void Module::train(bool on) {
  for (const NamedModule& part : named_modules()) part.module->training_ = on;
}

std::vector<NamedParameter> Module::named_parameters() {
  ParameterList list;
  list.walk(*this);
  return std::move(list.found);
}

std::vector<NamedBuffer> Module::named_buffers() {
  BufferList list;
  list.walk(*this);
  return std::move(list.found);
}

std::vector<NamedModule> Module::named_modules() {
  ModuleList list;
  list.walk(*this);
  return std::move(list.found);
}

Parameter& Module::parameter(std::string_view name) {
  std::vector<NamedParameter> all = named_parameters();
  const auto found = std::ranges::find(all, name, &NamedParameter::name);
  ESPALIER_CHECK(found != all.end(),
                 ValueError,
                 "parameter: there is none named '",
                 name,
                 "'; ",
                 nearest_names(name, std::move(all)));
  return *found->parameter;
}

void Module::zero_grad() {
  for (const NamedParameter& p : named_parameters()) p.parameter->value.zero_grad();
}

void Module::to(DType dtype) {
  ESPALIER_CHECK(is_floating(dtype),
                 TypeError,
                 "Module::to: expects float32 or float64, got ",
                 espalier::name(dtype));
  // Handles of one variable must stay handles of one variable, so each new one is made once.
  class Convert : public MemberVisitor {
   public:
    explicit Convert(DType dtype) : dtype_(dtype) {}
    void parameter(std::string_view, Parameter& p) override {
      if (!p.defined() || p.value.dtype() == dtype_) return;
      Variable& converted = done_[p.value.state().get()];
      if (!converted.defined()) {
        keep_alive_.push_back(p.value);
        converted = Variable(p.value.value().to(dtype_), p.value.requires_grad());
      }
      p.value = converted;
    }
    void buffer(std::string_view, Tensor& buffer) override {
      if (buffer.defined() && is_floating(buffer.dtype())) buffer = buffer.to(dtype_);
    }
    void rng(std::string_view, Rng&) override {}
    void module(std::string_view, Module& module) override { module.visit(*this); }

   private:
    DType dtype_;
    std::unordered_map<const VariableState*, Variable> done_;
    std::vector<Variable> keep_alive_;  // so that no new state gets an old one's address
  };
  Convert convert(dtype);
  visit(convert);
}

}  // namespace espalier::nn
