// SPDX-License-Identifier: Apache-2.0
/// ESPALIER_CLONES: compiles a function once per instruction set and picks one when the program
/// starts, so that plain loops use wide vectors on machines that have them. For kernels whose inner
/// loop the compiler vectorizes; hand-shaped ones use core/simd.h. Not a public interface.
#pragma once

// Sanitizers run before the resolver can, and clang 14 doesn't know these names.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define ESPALIER_CLONES \
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define ESPALIER_CLONES
#endif

/// For the body that a cloned function calls: must be inlined to be compiled for its instruction
/// set.
#define ESPALIER_INLINE inline __attribute__((always_inline))
