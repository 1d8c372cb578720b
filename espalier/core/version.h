// SPDX-License-Identifier: Apache-2.0
/// The version of the library, which plugins are checked against.
#pragma once

namespace espalier {

/// Major, minor and patch. Before 1.0 a new minor version may change names.
inline constexpr const char* kVersion = "0.1.0";

}  // namespace espalier
