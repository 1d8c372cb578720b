// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/error.h>

#include <cstdio>

namespace espalier::detail {

void append(std::string& out, double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", value);
  out += text;
}

}  // namespace espalier::detail
