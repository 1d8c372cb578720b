// SPDX-License-Identifier: Apache-2.0
#include <espalier/autograd/observer.h>

#include <utility>

namespace espalier {
namespace {

thread_local OpObserver* current = nullptr;
thread_local OpAttributes told;

}  // namespace

OpObserverScope::OpObserverScope(OpObserver* observer)
    : previous_(std::exchange(current, observer)) {}
OpObserverScope::~OpObserverScope() {
  current = previous_;
}

bool is_observed() {
  return current != nullptr;
}

namespace detail {

void tell_attributes(OpAttributes attributes) {
  told = std::move(attributes);
}

void observe_op(const char* name, const Variable& output, const std::vector<Variable>& inputs) {
  if (current == nullptr) return;
  OpObserver& observer = *current;
  const OpObserverScope silence(nullptr);
  const OpAttributes attributes = std::exchange(told, {});
  observer.op({name, attributes, output, inputs});
}

}  // namespace detail
}  // namespace espalier
