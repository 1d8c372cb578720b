// SPDX-License-Identifier: Apache-2.0
#include <espalier/autograd/saved.h>

#include <utility>

#include <espalier/autograd/packed.h>
#include <espalier/autograd/pending.h>

namespace espalier {
namespace {

thread_local const char* running_op = "an op";

}  // namespace

Saved::Saved(Variable variable) : variable_(std::move(variable)) {
  // Without recording nobody will ask for the gradient; a watch would only cost.
  if (variable_.defined() && is_recording()) {
    if (Variable again = unmade(variable_); again.defined()) {
      variable_ = std::move(again);
      return;
    }
    if (Variable twin = packed_twin(variable_); twin.defined()) {
      variable_ = std::move(twin);
      return;
    }
    watched_ = WatchedTensor(std::as_const(variable_).value());
  }
}

const Variable& Saved::get() const {
  const Tensor& before = watched_.tensor();
  if (before.defined() && (!watched_.sees_the_same_as(variable_.value()) || watched_.changed())) {
    detail::throw_changed(before);
  }
  return variable_;
}

namespace detail {

void throw_changed(const Tensor& as) {
  throw Error(cat("backward of `",
                  running_op,
                  "`: a value that it saved, ",
                  as,
                  ", was changed in place after the op had run (an optimizer's step, copy_, fill_, "
                  "set_mask, set_value, or a pointer to its data), so the gradient would be wrong. "
                  "Run the backward pass before the change, run the forward pass again after it, "
                  "or give the op a clone()"));
}

BackwardOf::BackwardOf(const char* name) : previous_(std::exchange(running_op, name)) {}

BackwardOf::~BackwardOf() {
  running_op = previous_;
}

}  // namespace detail
}  // namespace espalier
