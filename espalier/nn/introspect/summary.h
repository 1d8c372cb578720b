// SPDX-License-Identifier: Apache-2.0
/// A network as a table for people.
#pragma once

#include <string>

#include <espalier/nn/module/module.h>

namespace espalier::nn {

/// A table of the layers of `model` that have parameters: name, kind, output shape, parameters,
/// kept ones, and dense MACs of one sample of `input_shape` (C,H,W); the last line is the total.
/// Conventions of nn/introspect/counting.h. Throws ValueError for a module that no `visit` names,
/// and for a layer with weights that ran past its call (`conv_.forward(x)` instead of `conv_(x)`),
/// which nobody who counts, prunes or compiles the network would see.
std::string summary(Module& model, const Shape& input_shape);

}  // namespace espalier::nn
