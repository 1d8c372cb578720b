// SPDX-License-Identifier: Apache-2.0
/// What a figure was measured on: processor, threads, libraries, our version.
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

namespace espalier::experiments {

/// Our version, `0.1.0`.
std::string version();
/// The processor's name as the system gives it.
std::string processor_name();
/// The machine as an object: `processor`, `threads`, `simd`, `blas`, `compiler`.
nlohmann::ordered_json machine_json();
/// The same with `hand_over_ns` (hand_over.h), `{nearest, farthest}` or null: for figures of speed.
nlohmann::ordered_json measured_machine_json();

/// How OpenBLAS does on this processor: old builds compute wrong results on some new ones.
struct BlasCheck {
  std::string core;     ///< the kernels that OpenBLAS chose, `Haswell`
  std::string version;  ///< of OpenBLAS, with its build options
  double worst =
      0.0;  ///< largest |difference to float64| / sum |a||b|; about 1e-7 when all is well
  bool ok = false;
};
/// Multiplies matrices of sizes that reach the kernels' edges and compares with float64.
BlasCheck check_blas();

}  // namespace espalier::experiments
