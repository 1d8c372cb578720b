// SPDX-License-Identifier: Apache-2.0
/// Which vector instructions run: Highway compiles every kernel for several targets and the
/// machine's best is chosen at run time. The environment variable ESPALIER_SIMD forces one
/// (`avx512`, `avx2`, `sse4`, `ssse3`, `scalar`). Layouts and results' meaning don't depend on it;
/// last bits of sums may.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace espalier {

/// The target in use. The first call reads ESPALIER_SIMD; throws ValueError when that names a
/// target which is unknown or which this machine lacks.
std::string_view simd_target();
/// All targets that this machine can run, best first.
std::vector<std::string> simd_targets();
/// Forces a target; empty means the best. Throws ValueError as `simd_target`.
void set_simd_target(std::string_view name);

}  // namespace espalier
