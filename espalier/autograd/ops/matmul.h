// SPDX-License-Identifier: Apache-2.0
/// Matrix products. Float32 and float64; accumulated in a fixed order.
#pragma once

#include <espalier/autograd/variable.h>
#include <espalier/sparse/support.h>

namespace espalier {

/// (M,K) x (K,N) to (M,N). Plain.
Variable matmul(const Variable& a, const Variable& b);
/// (..,M,K) x (..,K,N) to (..,M,N); the leading dimensions broadcast. Plain.
Variable bmm(const Variable& a, const Variable& b);
/// x (N, in) times weight (out, in) transposed, plus bias (out) if defined. Keeps `Nchw16n` of x.
/// x may have more dimensions before the last in plain layout: (.., in) to (.., out).
/// `sparsity` says which weights exist and which gradient is wanted of them (see sparse/support.h).
Variable linear(const Variable& x,
                const Variable& weight,
                const Variable& bias = {},
                const sparse::WeightSparsity& sparsity = {});

}  // namespace espalier
