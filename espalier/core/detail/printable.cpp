// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/detail/printable.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>

#include <espalier/core/error.h>

namespace espalier::detail {
namespace {

// The character that begins at `at`, and how many bytes it has; none when they are no UTF-8.
struct Character {
  uint32_t code = 0;
  size_t bytes = 0;
};

Character character(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(at);
  if (first < 0x80) return {first, 1};
  const size_t count = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || at + count > text.size()) return {};
  uint32_t code = first & (0xffu >> (count + 1));
  for (size_t i = 1; i < count; ++i) {
    if ((byte(at + i) & 0xc0) != 0x80) return {};
    code = code << 6 | (byte(at + i) & 0x3fu);
  }
  constexpr uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = code >= 0xd800 && code <= 0xdfff;
  if (code < kLeast[count] || code > 0x10ffff || surrogate) return {};
  return {code, count};
}

// Unicode's controls (Cc), and its bidirectional ones, with which a name can look like another.
bool commands(uint32_t code) {
  return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x061c || code == 0x200e ||
         code == 0x200f || (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

std::string spelt(const char* format, uint32_t code) {
  char out[16];
  std::snprintf(out, sizeof(out), format, code);
  return out;
}

std::string spelt_out(std::string_view text, bool lines) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const auto [code, bytes] = character(text, at);
    if (bytes == 0) {
      out += spelt("\\x%02x", static_cast<uint8_t>(text[at++]));
      continue;
    }
    const bool line = code == '\n' || code == '\t';
    if (commands(code) && !(line && lines)) {
      out += spelt("\\u%04x", code);
    } else {
      out += text.substr(at, bytes);
    }
    at += bytes;
  }
  return out;
}

}  // namespace

bool is_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const size_t bytes = character(text, at).bytes;
    if (bytes == 0) return false;
    at += bytes;
  }
  return true;
}

std::string printable(std::string_view text) {
  return spelt_out(text, true);
}

std::string printable_line(std::string_view text) {
  return spelt_out(text, false);
}

std::string excerpt(std::string_view text, size_t most) {
  std::string line(text);
  for (char& c : line) {
    if (c == '\n' || c == '\t') c = ' ';
  }
  std::string out = printable(line);
  if (out.size() <= most) return out;
  size_t cut = most;
  while (cut > 0 && (static_cast<uint8_t>(out[cut]) & 0xc0) == 0x80) --cut;
  return cat(out.substr(0, cut), ".. (", text.size(), " bytes)");
}

std::string some_of(const std::vector<std::string>& things, size_t most, std::string_view between) {
  constexpr size_t kMostOfOne = 200;
  std::string out;
  for (size_t i = 0; i < std::min(most, things.size()); ++i) {
    if (i > 0) out += between;
    out += excerpt(things[i], kMostOfOne);
  }
  return things.size() <= most ? out : cat(out, " and ", things.size() - most, " more");
}

}  // namespace espalier::detail
