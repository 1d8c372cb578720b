// SPDX-License-Identifier: Apache-2.0
/// Straight-through estimators: exact forward, and the gradient of a stand-in. Source: Bengio,
/// Leonard, Courville, arXiv:1308.3432. Numeric gradient checks can't apply to them; the tests
/// check the promise.
#pragma once

#include <espalier/autograd/variable.h>

namespace espalier {

/// sign(a) (0 counts as +1); the gradient passes where |a| <= 1.
Variable sign_ste(const Variable& a);
/// 1 where a >= 0 else 0; the gradient passes unchanged.
Variable step_ste(const Variable& a);
/// Nearest integer, halves to even; the gradient passes unchanged.
Variable round_ste(const Variable& a);
/// a * mask (mask uint8, a's shape); the gradient passes unchanged to all positions, masked ones
/// too.
Variable mask_ste(const Variable& a, const Tensor& mask);

}  // namespace espalier
