// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include <espalier/core/loops.h>
#include <espalier/nn/module/parameter.h>

namespace espalier::nn {

namespace {

// out = a where the mask is 1, else 0 (also where a is NaN). `out` may be `a`.
void keep_masked(Tensor& out, const Tensor& a, const Tensor& mask) {
  dispatch_floating(a.dtype(), "Parameter", [&](auto zero) {
    using T = decltype(zero);
    map_into<T, T, uint8_t>(out, a, mask, [](T x, uint8_t keep) { return keep ? x : T{0}; });
  });
}

}  // namespace

Parameter::Parameter(Tensor tensor) : value(tensor.contiguous(), true) {}

void Parameter::set_mask(const Tensor& mask) {
  if (!mask.defined()) return set_support(nullptr);
  ESPALIER_CHECK(defined(), ValueError, "set_mask: the parameter is undefined");
  ESPALIER_CHECK(mask.shape() == shape(),
                 ShapeError,
                 "set_mask: expects a mask in the parameter's shape ",
                 shape(),
                 ", got ",
                 mask.shape());
  set_support(std::make_shared<sparse::Support>(mask));
}

void Parameter::set_support(std::shared_ptr<const sparse::Support> new_support) {
  ESPALIER_CHECK(!new_support || (defined() && new_support->shape() == shape()),
                 ShapeError,
                 "set_support: expects a support in the parameter's shape ",
                 defined() ? shape() : Shape(),
                 ", got ",
                 new_support ? new_support->shape() : Shape());
  support = std::move(new_support);
  apply_mask();
}

void Parameter::apply_mask() {
  if (!support) return;
  keep_masked(value.value(), value.value(), support->mask());
  if (!value.grad().defined()) return;
  // Into fresh memory: a gradient may share its tensor with another leaf's.
  const Tensor& gradient = value.grad().value();
  Tensor kept = Tensor::empty_like(gradient);
  keep_masked(kept, gradient, support->mask());
  value.set_grad(Variable(kept));
}

Parameter Parameter::clone() const {
  Parameter copy = *this;
  if (defined()) {
    copy.value = Variable(value.value().clone(), value.requires_grad());
  }
  return copy;
}

}  // namespace espalier::nn
