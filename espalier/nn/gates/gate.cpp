// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/gates/gate.h>

#include <espalier/autograd/observer.h>

namespace espalier::nn {

bool ConvGate::skips(const Variable& x) const {
  // Whoever records or traces needs ops that can be differentiated and seen.
  return !training() && !is_recording() && !is_observed() && x.dtype() == DType::F32;
}

}  // namespace espalier::nn
