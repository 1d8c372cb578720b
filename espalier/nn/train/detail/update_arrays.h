// SPDX-License-Identifier: Apache-2.0
/// From a parameter and its state to the arrays of an update kernel. Not a public interface.
#pragma once

#include <vector>

#include <espalier/autograd/kept_gradient.h>
#include <espalier/nn/module/parameter.h>
#include <espalier/nn/train/kernels/update.h>
#include <espalier/sparse/kept_values.h>

namespace espalier::nn::detail {

/// What the gradient holds at the entries that exist, in the value's order: a gradient may come as
/// a view or in another layout.
inline Tensor live_gradient(const Parameter& parameter) {
  const Variable& gradient = parameter.value.grad();
  if (const Tensor* kept = kept_values_of(gradient, parameter.support.get())) return *kept;
  const Tensor dense = gradient.value().to(Layout::Nchw).contiguous();
  return parameter.masked() ? sparse::kept_values(dense, *parameter.support) : dense;
}

/// Calls `run(arrays)` with the arrays in the parameter's element type; slots and `age`, which may
/// be undefined, have an element for each entry that exists. Sizes have been checked.
template <class F>
void with_update_arrays(Parameter& parameter, std::vector<Tensor>& slots, Tensor& age, F run) {
  Tensor& value = parameter.value.value();
  const Tensor gradient = live_gradient(parameter);
  dispatch_floating(value.dtype(), "optimizer", [&](auto zero) {
    using T = decltype(zero);
    run(kernels::UpdateArrays<T>{
        .count = parameter.nnz(),
        .value = value.data<T>(),
        .gradient = gradient.data<T>(),
        .kept = parameter.masked() ? parameter.support->kept().data() : nullptr,
        .first = slots.size() > 0 ? slots[0].data<T>() : nullptr,
        .second = slots.size() > 1 ? slots[1].data<T>() : nullptr,
        .third = slots.size() > 2 ? slots[2].data<T>() : nullptr,
        .age = age.defined() ? age.data<T>() : nullptr});
  });
}

}  // namespace espalier::nn::detail
