// SPDX-License-Identifier: Apache-2.0
/// explain(): which kernel each layer of a network runs, how long the sparse and the dense one
/// take, and why. The answer to "I pruned, and nothing got faster".
#pragma once

#include <string>
#include <vector>

#include <espalier/nn/module/module.h>
#include <espalier/sparse/choice/chooser.h>

namespace espalier::nn {

/// One use of a layer with a weight.
struct LayerExplanation {
  std::string name;      ///< dotted, as in the state dict
  std::string kind;      ///< `describe()`
  Shape input;           ///< with the batch dimension
  double density = 1.0;  ///< kept fraction of the weight
  /// The choice for a pass; a dense layer's says so and has no times.
  struct PassChoice {
    sparse::KernelChoice choice;  ///< what runs, and why
    sparse::KernelTimes times;    ///< measured now; `sparse` is 0 without a sparse kernel
    /// Of the kernel that runs.
    double milliseconds() const { return choice.sparse ? times.sparse : times.dense; }
  };
  PassChoice forward;   ///< of the output
  PassChoice backward;  ///< both gradients
};

/// Traces `model` on `input` and times both kernels of every layer that is a convolution or linear
/// (`Module::weight_product`), on operands of the same shapes.
std::vector<LayerExplanation> explain(Module& model, const Variable& input);

}  // namespace espalier::nn
