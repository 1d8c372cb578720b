// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/mac_counter.h>

#include <utility>

namespace espalier {
namespace {

thread_local MacCounter* innermost = nullptr;

}  // namespace

void count_macs(int64_t macs) {
  for (MacCounter* counter = innermost; counter != nullptr; counter = counter->outer_) {
    counter->macs_ += macs;
  }
}

MacCounter::MacCounter() : outer_(std::exchange(innermost, this)) {}
MacCounter::~MacCounter() {
  innermost = outer_;
}

}  // namespace espalier
