// SPDX-License-Identifier: Apache-2.0
/// What stands behind the opcodes of a pickle: numbers and texts, as each protocol writes them. Not
/// a public interface.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace espalier::data::detail {

/// Reads bytes from their beginning on. All throw IoError naming `where` and the position.
class PickleSource {
 public:
  /// `bytes` must outlive what is taken.
  PickleSource(std::span<const uint8_t> bytes, const std::string& where)
      : bytes_(bytes), where_(where) {}

  /// Throws IoError: `where`: the pickle `text`, at byte 7.
  [[noreturn]] void fail(const std::string& text) const;
  /// The next `size` bytes.
  std::string_view take(uint64_t size);
  uint8_t byte();
  /// A number of 1 to 8 bytes, least significant first.
  uint64_t little(int bytes);
  /// Up to a line's end, which is taken and left out.
  std::string_view line();
  /// A whole number in decimal digits.
  int64_t integer(std::string_view text);
  /// A text between quotes, with Python's escapes.
  std::string unquoted(std::string_view text);
  /// Latin-1 but for \uXXXX and \UXXXXXXXX, as protocol 0 has texts; the result is UTF-8.
  std::string raw_unicode(std::string_view text);
  bool ended() const { return at_ == bytes_.size(); }

 private:
  uint32_t hex(std::string_view text, size_t at, size_t digits);
  void append_utf8(uint32_t point, std::string& out);

  std::span<const uint8_t> bytes_;
  const std::string& where_;
  size_t at_ = 0;
};

}  // namespace espalier::data::detail
