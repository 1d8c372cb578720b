// SPDX-License-Identifier: Apache-2.0
#include <espalier/autograd/observer.h>

#include <utility>

namespace espalier {
namespace {

thread_local OpObserver* current = nullptr;

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

void observe_op(const char* name,
                const Variable& output,
                const std::vector<Variable>& inputs,
                const BackwardFn& backward) {
  if (current == nullptr) return;
  OpObserver& observer = *current;
  const OpObserverScope silence(nullptr);
  observer.op(name, output, inputs, backward);
}

}  // namespace detail
}  // namespace espalier
