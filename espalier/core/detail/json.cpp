// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/detail/json.h>

#include <algorithm>

namespace espalier::detail {

std::string json_mistake(std::string_view text, size_t byte) {
  const size_t at = std::min(byte == 0 ? 0 : byte - 1, text.size());
  if (at >= text.size()) return "it ends too early; is it cut off?";
  const std::string_view before = text.substr(0, at);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const size_t begin = before.rfind('\n') == before.npos ? 0 : before.rfind('\n') + 1;
  return cat(
      "line ", line, ", column ", at - begin + 1, ", at '", excerpt(text.substr(at, 20)), "'");
}

std::string json_words(const std::exception& error) {
  const std::string text = error.what();
  const size_t tag = text.find("] ");
  return text.starts_with("[json.exception") && tag != text.npos ? text.substr(tag + 2) : text;
}

}  // namespace espalier::detail
