// SPDX-License-Identifier: Apache-2.0
#include <espalier/autograd/observer.h>

#include <utility>

namespace espalier {
namespace {

thread_local OpObserver* current = nullptr;
thread_local std::vector<double> current_settings;

}  // namespace

OpObserverScope::OpObserverScope(OpObserver* observer)
    : previous_(std::exchange(current, observer)) {}
OpObserverScope::~OpObserverScope() {
  current = previous_;
}

const std::vector<double>& observed_settings() {
  return current_settings;
}

bool is_observed() {
  return current != nullptr;
}

namespace detail {

void observe_settings(std::initializer_list<double> settings) {
  if (current != nullptr) current_settings = settings;
}

void observe_op(const char* name,
                const Variable& output,
                const std::vector<Variable>& inputs,
                const BackwardFn& backward) {
  if (current == nullptr) return;
  OpObserver& observer = *current;
  const OpObserverScope silence(nullptr);
  observer.op(name, output, inputs, backward);
  current_settings.clear();
}

}  // namespace detail
}  // namespace espalier
