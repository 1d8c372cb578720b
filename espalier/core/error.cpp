// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/error.h>

#include <charconv>

namespace espalier::detail {

void append(std::string& out, double value) {
  char text[32];
  // Not printf, which follows the program's locale.
  constexpr int kDigits = 9;
  const auto end =
      std::to_chars(text, text + sizeof text, value, std::chars_format::general, kDigits).ptr;
  out.append(text, end);
}

}  // namespace espalier::detail
