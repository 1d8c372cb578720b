// SPDX-License-Identifier: Apache-2.0
/// File descriptors that close themselves and are never those of the standard streams.
#pragma once

#include <filesystem>
#include <string>

#include <sys/types.h>

namespace espalier::detail {

/// An open file, closed with it; `open()` is false after a failure, whose reason is in errno.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int descriptor) : descriptor_(descriptor) {}
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept;
  Descriptor& operator=(Descriptor&& other) noexcept;

  int get() const { return descriptor_; }
  bool open() const { return descriptor_ >= 0; }
  /// False when a write failed that only shows here, as on some file systems.
  bool close();

 private:
  int descriptor_ = -1;
};

/// open(2) with O_CLOEXEC. The number is 3 or more: a program that was started with its standard
/// streams closed would else print its results into the file.
Descriptor open_descriptor(const std::filesystem::path& path, int flags, mode_t mode = 0);

/// What errno says, in words.
std::string system_reason();

}  // namespace espalier::detail
