// SPDX-License-Identifier: Apache-2.0
/// Numeric checks of gradients, in float64.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <espalier/autograd/variable.h>

namespace espalier {

/// A function of Variables, to be checked.
using VariableFn = std::function<Variable(const std::vector<Variable>&)>;

/// Steps and tolerances of the checks: |analytic - numeric| <= atol + rtol * |numeric|.
struct GradcheckOptions {
  double step = 1e-6;  ///< of the differences
  double atol = 1e-6;  ///< the absolute part of the tolerance
  double rtol = 1e-5;  ///< the relative part
};

/// Compares the gradient of a random weighting of `fn`'s output with central differences, for every
/// element of every input (float64). Returns an empty text, or a description of the worst mismatch.
std::string gradcheck(const VariableFn& fn,
                      const std::vector<Tensor>& inputs,
                      const GradcheckOptions& options = {});
/// The same for the gradient of the gradient, made with create_graph, with respect to the inputs
/// and to the incoming gradient.
std::string gradgradcheck(const VariableFn& fn,
                          const std::vector<Tensor>& inputs,
                          const GradcheckOptions& options = {});

}  // namespace espalier
