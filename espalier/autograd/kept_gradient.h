// SPDX-License-Identifier: Apache-2.0
/// Gradients of masked weights that hold only what exists: as a Variable like any other, whose
/// value becomes dense when somebody looks at it. Optimizers, which need no more than the kept
/// values, do not.
#pragma once

#include <memory>

#include <espalier/autograd/variable.h>
#include <espalier/sparse/support.h>

namespace espalier {

/// A constant that is `values` (nnz, in the order of Support::kept()) at the positions that
/// `support` keeps and 0 elsewhere. Its dense value is made by the first call of `value()` (and of
/// what asks for its shape or type), which therefore is no matter for several threads. Throws
/// ShapeError for another number of values.
Variable kept_gradient(Tensor values, std::shared_ptr<const sparse::Support> support);

/// The values of such a variable if it has not become dense and is of this support; else null.
const Tensor* kept_values_of(const Variable& variable, const sparse::Support* support);

}  // namespace espalier
