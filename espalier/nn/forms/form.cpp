// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/forms/form.h>

#include <cmath>
#include <cstring>

#include <espalier/autograd/ops.h>
#include <espalier/nn/module/trace.h>

namespace espalier::nn {

double PartDescription::number(const std::string& name, double least, double most) const {
  const auto found = settings.find(name);
  ESPALIER_CHECK(
      found != settings.end(), ValueError, "forms: ", kind, " without its setting '", name, "'");
  ESPALIER_CHECK(found->second >= least && found->second <= most,
                 ValueError,
                 "forms: ",
                 kind,
                 " with ",
                 found->second,
                 " ",
                 name,
                 "; expected ",
                 least,
                 " .. ",
                 most);
  return found->second;
}

int64_t PartDescription::whole(const std::string& name, int64_t least, int64_t most) const {
  const double value = number(name, static_cast<double>(least), static_cast<double>(most));
  ESPALIER_CHECK(std::trunc(value) == value,
                 ValueError,
                 "forms: ",
                 kind,
                 " with ",
                 value,
                 " ",
                 name,
                 "; expected a whole number");
  return static_cast<int64_t>(value);
}

std::string PartDescription::word(const std::string& name, const std::string& otherwise) const {
  const auto found = words.find(name);
  return found == words.end() ? otherwise : found->second;
}

void Attached::share(Attached& first) {
  throw ValueError(cat("forms: ", describe(), " can't share the parameters of ", first.describe()));
}

Variable Form::product(const Variable& x, const LayerProduct& layer) {
  const Effective weight = effective(layer.weight);
  if (layer.conv == nullptr) return linear(x, weight.value, layer.bias.value, weight.sparsity);
  return conv2d(x, weight.value, layer.bias.value, *layer.conv, weight.sparsity);
}

Effective Form::effective(const Parameter& weight) {
  return {weight.value, weight.sparsity()};
}

std::shared_ptr<const sparse::Support> Form::support(const Parameter& weight) {
  const EvalScope eval(*this);
  const NoGrad no_grad;
  return effective(weight).sparsity.support;
}

void Form::fold(Parameter& weight) {
  ESPALIER_CHECK(!replaces_product(),
                 NotImplemented,
                 "fold: ",
                 describe(),
                 " is more than another weight; no plain weight does the same");
  const EvalScope eval(*this);
  const NoGrad no_grad;
  const Effective folded = effective(weight);
  weight.value.value().copy_(folded.value.value());
  weight.set_support(folded.sparsity.support);
}

Variable Form::forward(const Variable&) {
  throw NotImplemented(cat(describe(), ": a form is run by its layer"));
}

Effective effective_weight(const std::shared_ptr<Form>& form, const Parameter& weight) {
  return form ? form->effective(weight) : Effective{weight.value, weight.sparsity()};
}

void check_resizable(const std::shared_ptr<Form>& form, std::string_view layer) {
  ESPALIER_CHECK(!form || !form->has_sizes(),
                 NotImplemented,
                 "set_sizes: ",
                 layer,
                 " has a form, ",
                 form ? form->describe() : std::string(),
                 ", of its present sizes; fold it or take it off first");
}

const std::shared_ptr<const sparse::Support>& SupportOf::operator()(const Tensor& mask) {
  const bool same =
      support_ && support_->shape() == mask.shape() &&
      std::memcmp(support_->mask().raw(), mask.raw(), static_cast<size_t>(mask.nbytes())) == 0;
  if (!same) support_ = std::make_shared<const sparse::Support>(mask);
  return support_;
}

}  // namespace espalier::nn
