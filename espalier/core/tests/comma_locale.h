// SPDX-License-Identifier: Apache-2.0
/// A program around the library that counts like a German: decimal commas and thousands points, in
/// C and in C++. Tests only.
#pragma once

#include <clocale>
#include <cstdlib>
#include <locale>
#include <string>

#include <espalier/core/tests/temporary_folder.h>

namespace espalier::testing {

/// Sets the locale while it lives, building it with localedef where the system has not. Use one at
/// a time, outside of threads.
class CommaLocale {
 public:
  CommaLocale() : before_(std::setlocale(LC_ALL, nullptr)) {
    if (std::setlocale(LC_ALL, kName) == nullptr) {
      const std::string command =
          "localedef -i de_DE -f UTF-8 '" + (folder_ / kName).string() + "' >/dev/null 2>&1";
      built_ = std::system(command.c_str()) == 0;  // NOLINT: a fixed command
      ::setenv("LOCPATH", folder_.path().c_str(), 1);
      std::setlocale(LC_ALL, kName);
    }
    is_set_ = std::string(std::localeconv()->decimal_point) == ",";
    if (is_set_) std::locale::global(std::locale(kName));
  }
  ~CommaLocale() {
    std::locale::global(std::locale::classic());
    std::setlocale(LC_ALL, before_.c_str());
    if (built_) ::unsetenv("LOCPATH");
  }
  CommaLocale(const CommaLocale&) = delete;
  CommaLocale& operator=(const CommaLocale&) = delete;

  /// False on a system without the locale and without what builds it (Debian: locales).
  bool is_set() const { return is_set_; }

 private:
  static constexpr const char* kName = "de_DE.UTF-8";
  TemporaryFolder folder_;
  std::string before_;
  bool built_ = false;
  bool is_set_ = false;
};

}  // namespace espalier::testing
