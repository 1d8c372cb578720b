// SPDX-License-Identifier: Apache-2.0
/// PrunableWeight: a weight that a method may prune, by name.
#pragma once

#include <string>

#include <espalier/nn/module/parameter.h>

namespace espalier::prune {

/// A weight that may be removed.
struct PrunableWeight {
  std::string name;                    ///< dotted
  nn::Parameter* parameter = nullptr;  ///< in the model
};

}  // namespace espalier::prune
