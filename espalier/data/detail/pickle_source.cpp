// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/detail/pickle_source.h>

#include <algorithm>
#include <charconv>

#include <espalier/core/detail/printable.h>
#include <espalier/core/error.h>

namespace espalier::data::detail {

void PickleSource::fail(const std::string& text) const {
  throw IoError(cat(where_, ": the pickle ", text, ", at byte ", at_));
}

std::string_view PickleSource::take(uint64_t size) {
  if (size > bytes_.size() - at_) {
    fail(cat("is cut: expected ", size, " more bytes, got ", bytes_.size() - at_));
  }
  const auto* first = reinterpret_cast<const char*>(bytes_.data()) + at_;
  at_ += static_cast<size_t>(size);
  return {first, static_cast<size_t>(size)};
}
uint8_t PickleSource::byte() {
  return static_cast<uint8_t>(take(1)[0]);
}

uint64_t PickleSource::little(int bytes) {
  const std::string_view text = take(static_cast<uint64_t>(bytes));
  uint64_t value = 0;
  for (int i = bytes; i-- > 0;) {
    value = value << 8U | static_cast<uint8_t>(text[static_cast<size_t>(i)]);
  }
  return value;
}
std::string_view PickleSource::line() {
  const auto begin = bytes_.begin() + static_cast<std::ptrdiff_t>(at_);
  const auto end = std::find(begin, bytes_.end(), uint8_t{'\n'});
  if (end == bytes_.end()) fail("is cut within a line");
  const std::string_view text = take(static_cast<uint64_t>(end - begin));
  ++at_;
  return text;
}

int64_t PickleSource::integer(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    fail(cat("has '",
             espalier::detail::printable_line(std::string(text)),
             "' where a whole number of 64 bits is expected"));
  }
  return value;
}
// Between quotes, with Python's escapes.
std::string PickleSource::unquoted(std::string_view text) {
  if (text.size() < 2 || text.front() != text.back() ||
      (text.front() != '\'' && text.front() != '"')) {
    fail("has a text without its quotes");
  }
  text = text.substr(1, text.size() - 2);
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      out += text[i];
      continue;
    }
    const char kind = ++i < text.size() ? text[i] : '\0';
    constexpr std::string_view kEscapes = "nrt\\'\"";
    constexpr std::string_view kMeant = "\n\r\t\\'\"";
    if (const size_t which = kEscapes.find(kind); kind != '\0' && which != kEscapes.npos) {
      out += kMeant[which];
    } else if (kind == 'x') {
      out += static_cast<char>(hex(text, i + 1, 2));
      i += 2;
    } else {
      fail("has an escape that is not read");
    }
  }
  return out;
}
uint32_t PickleSource::hex(std::string_view text, size_t at, size_t digits) {
  uint32_t value = 0;
  const std::string_view part = at <= text.size() ? text.substr(at, digits) : "";
  const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value, 16);
  if (part.size() != digits || error != std::errc() || end != part.data() + part.size()) {
    fail("has an escape without its digits");
  }
  return value;
}
// Latin-1 but for \uXXXX and \UXXXXXXXX, as protocol 0 has texts; the result is UTF-8.
std::string PickleSource::raw_unicode(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    uint32_t point = static_cast<uint8_t>(text[i]);
    if (text[i] == '\\' && i + 1 < text.size() && (text[i + 1] == 'u' || text[i + 1] == 'U')) {
      const size_t digits = text[i + 1] == 'u' ? 4 : 8;
      point = hex(text, i + 2, digits);
      i += 1 + digits;
    }
    append_utf8(point, out);
  }
  return out;
}
void PickleSource::append_utf8(uint32_t point, std::string& out) {
  if (point > 0x10FFFF) fail("has a character that Unicode has not");
  const auto tail = [&](int shift) {
    return static_cast<char>(0x80U | (point >> static_cast<unsigned>(shift) & 0x3FU));
  };
  if (point < 0x80) {
    out += static_cast<char>(point);
  } else if (point < 0x800) {
    out += {static_cast<char>(0xC0U | point >> 6U), tail(0)};
  } else if (point < 0x10000) {
    out += {static_cast<char>(0xE0U | point >> 12U), tail(6), tail(0)};
  } else {
    out += {static_cast<char>(0xF0U | point >> 18U), tail(12), tail(6), tail(0)};
  }
}

}  // namespace espalier::data::detail
