// SPDX-License-Identifier: Apache-2.0
/// ByteSource: the content of a file, unpacked on the way when it is gzip. Never allocates what a
/// header promises, only what the caller asks for. Not a public interface.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

namespace espalier::data::detail {

/// Reads a file from its beginning to its end, once.
class ByteSource {
 public:
  /// Throws IoError naming `what` and the path when the file can't be read. Gzip is told by its
  /// first bytes, not by the name.
  ByteSource(const std::filesystem::path& path, std::string what);
  ~ByteSource();
  ByteSource(const ByteSource&) = delete;
  ByteSource& operator=(const ByteSource&) = delete;

  /// Fills `bytes`. Throws IoError when the content ends before, or the packed data is broken.
  void read(std::span<uint8_t> bytes);
  /// The next four bytes, most significant first.
  uint32_t read_u32_be();
  /// Throws IoError when anything is left.
  void expect_end();
  /// No more than this many bytes can still come.
  int64_t most_left() const;
  /// The file.
  const std::filesystem::path& path() const;
  /// Throws IoError: `what`: path `text`.
  [[noreturn]] void fail(const std::string& text) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace espalier::data::detail
