// SPDX-License-Identifier: Apache-2.0
/// MD5 and SHA-256 of files: to tell whether a download is what its publisher names. MD5 because
/// that is what the pages of the data sets give; it guards against damage, not against forgers.
///
/// Source: RFC 1321 (MD5), FIPS 180-4 (SHA-256).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

namespace espalier::data {

/// Which checksum.
enum class Digest : uint8_t { Md5, Sha256 };

/// A checksum that grows with the bytes it is given.
class Checksum {
 public:
  /// Of no bytes yet.
  explicit Checksum(Digest digest);
  ~Checksum();
  Checksum(Checksum&&) noexcept;
  Checksum& operator=(Checksum&&) noexcept;

  /// Appends bytes.
  void update(std::span<const uint8_t> bytes);
  /// Lower-case hexadecimal digits of all bytes so far; more may follow.
  std::string hex() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The checksum of a file, read in pieces. Throws IoError naming the path.
std::string file_checksum(const std::filesystem::path& path, Digest digest);

}  // namespace espalier::data
