// SPDX-License-Identifier: Apache-2.0
/// What the three convolution ops share. Not a public interface.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops/convolution.h>
#include <espalier/sparse/choice/chooser.h>

namespace espalier::detail {

/// Throws ShapeError when the support of `sparsity` has another shape than the weight.
void check_support(const sparse::WeightSparsity& sparsity,
                   const Shape& weight,
                   std::string_view op);

/// True when only kept positions of the weight get a gradient.
inline bool is_masked(const sparse::WeightSparsity& sparsity) {
  return sparsity.support && sparsity.request == sparse::GradRequest::Masked;
}

/// True when the sparse kernels are to run (see sparse/choice/chooser.h).
bool runs_sparse(const Conv2dShape& shape,
                 const Variable& activations,
                 const sparse::WeightSparsity& sparsity,
                 sparse::Pass pass);

/// Both gradients at once where the sparse kernels run; undefined elsewhere. `kept` may hold the
/// kept values of the weight, else it is undefined. That of x may be added to `gathered`
/// (BackwardContext::gathered), and is then returned in its memory. `unseen`: as in
/// BackwardContext, of x. Not recorded.
std::pair<Variable, Variable> masked_backward(const Variable& x,
                                              const Variable& grad,
                                              const Variable& weight,
                                              const Tensor& kept,
                                              const Variable& gathered,
                                              bool unseen,
                                              const Conv2dOptions& options,
                                              const sparse::WeightSparsity& sparsity);

/// The mask as a constant of element type `dtype`.
Variable mask_constant(const sparse::WeightSparsity& sparsity, DType dtype);

/// One geometry of the convolution samples.
struct ConvCase {
  std::string name;
  Shape x;
  Shape weight;
  Conv2dOptions options;
  bool masked = false;  ///< half of the weights are removed
};

/// Strides, paddings, dilations, groups, odd sizes; the three ops run over the same.
std::vector<ConvCase> conv_cases();
/// The output shape of a case.
Shape conv_output(const ConvCase& c);
/// The sparsity of a case: a fixed support when `masked`.
sparse::WeightSparsity conv_sparsity(const ConvCase& c);

}  // namespace espalier::detail
