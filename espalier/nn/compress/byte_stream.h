// SPDX-License-Identifier: Apache-2.0
/// Numbers, texts and blocks of bytes in the order of a file, little endian, with every read
/// checked against the end. No format here.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <espalier/core/error.h>

namespace espalier::nn::compress {

static_assert(std::endian::native == std::endian::little, "numbers are copied as they are");

/// Appends to a growing block of bytes.
class ByteWriter {
 public:
  template <class T>
  void number(T value) {
    block({reinterpret_cast<const uint8_t*>(&value), sizeof(T)});
  }
  /// Unsigned, seven bits a byte, the lowest first; the highest bit says that more follow.
  void varint(uint64_t value) {
    for (; value >= 128; value >>= 7) bytes_.push_back(static_cast<uint8_t>(value | 128));
    bytes_.push_back(static_cast<uint8_t>(value));
  }
  void block(std::span<const uint8_t> bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }
  /// Its length as a varint, then its bytes.
  void text(std::string_view value) {
    varint(value.size());
    block({reinterpret_cast<const uint8_t*>(value.data()), value.size()});
  }
  std::vector<uint8_t>& bytes() { return bytes_; }

 private:
  std::vector<uint8_t> bytes_;
};

/// Reads bytes that must outlive it. Every function throws IoError naming `where` at the end.
class ByteReader {
 public:
  ByteReader(std::span<const uint8_t> bytes, std::string where)
      : bytes_(bytes), where_(std::move(where)) {}
  template <class T>
  T number() {
    T out;
    std::memcpy(&out, block(sizeof(T)).data(), sizeof(T));
    return out;
  }
  uint64_t varint() {
    uint64_t out = 0;
    for (int shift = 0; shift < 63; shift += 7) {
      const auto byte = number<uint8_t>();
      out |= uint64_t{byte & 127U} << shift;
      if (byte < 128) return out;
    }
    throw IoError(cat(where_, ": a number of more than nine bytes at byte ", at_));
  }
  /// A varint that must be at most `most`; `what` stands in the error.
  int64_t size(std::string_view what, int64_t most) {
    const uint64_t out = varint();
    ESPALIER_CHECK(out <= static_cast<uint64_t>(most),
                   IoError,
                   where_,
                   ": ",
                   what,
                   " is ",
                   out,
                   ", at most ",
                   most,
                   " is possible here");
    return static_cast<int64_t>(out);
  }
  std::span<const uint8_t> block(size_t count) {
    ESPALIER_CHECK(count <= bytes_.size() - at_,
                   IoError,
                   where_,
                   ": wants ",
                   count,
                   " bytes at byte ",
                   at_,
                   " of ",
                   bytes_.size());
    at_ += count;
    return bytes_.subspan(at_ - count, count);
  }
  std::string text() {
    const auto bytes = block(static_cast<size_t>(size("a text's length", left())));
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  int64_t left() const { return static_cast<int64_t>(bytes_.size() - at_); }
  const std::string& where() const { return where_; }

 private:
  std::span<const uint8_t> bytes_;
  std::string where_;
  size_t at_ = 0;
};

}  // namespace espalier::nn::compress
