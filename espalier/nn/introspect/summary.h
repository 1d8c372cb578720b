// SPDX-License-Identifier: Apache-2.0
/// A network as a table for people.
#pragma once

#include <string>

#include <espalier/nn/module/module.h>

namespace espalier::nn {

/// A table of the layers of `model` that have parameters: name, kind, output shape, parameters,
/// kept ones, and dense MACs of one sample of `input_shape` (C,H,W); the last line is the total.
/// Conventions of nn/introspect/counting.h.
std::string summary(Module& model, const Shape& input_shape);

}  // namespace espalier::nn
