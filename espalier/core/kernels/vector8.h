// SPDX-License-Identifier: Apache-2.0
/// Vector8: eight elements as one value, half of the sixteen lanes: one AVX2 register of float32.
/// The compiler splits it where registers are narrower. For kernels under ESPALIER_CLONES;
/// hand-shaped ones use core/simd.h. Not a public interface.
#pragma once

#include <cstdint>

#include <espalier/core/kernels/clones.h>

namespace espalier {

template <class T>
struct Vector8Of {
  typedef T type __attribute__((vector_size(8 * sizeof(T))));
};
/// Eight elements of T, aligned as a whole.
template <class T>
using Vector8 = typename Vector8Of<T>::type;

}  // namespace espalier
