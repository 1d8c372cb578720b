// SPDX-License-Identifier: Apache-2.0
/// From a parameter and its state to the arrays of an update kernel. Not a public interface.
#pragma once

#include <vector>

#include <espalier/nn/kernels/update.h>
#include <espalier/nn/parameter.h>

namespace espalier::nn::detail {

/// Calls `run(arrays)` with the arrays in the parameter's element type; `age` may be undefined.
/// Sizes have been checked.
template <class F>
void with_update_arrays(Parameter& parameter, std::vector<Tensor>& slots, Tensor& age, F run) {
  Tensor& value = parameter.value.value();
  // A gradient may come as a view or in another layout; the value's order counts.
  const Tensor gradient = parameter.value.grad().value().to(Layout::Nchw).contiguous();
  const Tensor mask = parameter.mask();
  dispatch_floating(value.dtype(), "optimizer", [&](auto zero) {
    using T = decltype(zero);
    run(kernels::UpdateArrays<T>{.count = value.numel(),
                                 .value = value.data<T>(),
                                 .gradient = gradient.data<T>(),
                                 .mask = mask.defined() ? mask.data<uint8_t>() : nullptr,
                                 .first = slots.size() > 0 ? slots[0].data<T>() : nullptr,
                                 .second = slots.size() > 1 ? slots[1].data<T>() : nullptr,
                                 .age = age.defined() ? age.data<T>() : nullptr});
  });
}

}  // namespace espalier::nn::detail
