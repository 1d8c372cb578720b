// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/detail/file_checks.h>

#include <fstream>
#include <system_error>

#include <espalier/core/detail/printable.h>
#include <espalier/core/error.h>

namespace espalier::data::detail {

int64_t check_readable(const std::filesystem::path& path, std::string_view what) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  ESPALIER_CHECK(status.type() != std::filesystem::file_type::not_found,
                 IoError,
                 what,
                 ": ",
                 path.string(),
                 " does not exist");
  ESPALIER_CHECK(!error, IoError, what, ": ", path.string(), ": ", error.message());
  ESPALIER_CHECK(status.type() != std::filesystem::file_type::directory,
                 IoError,
                 what,
                 ": ",
                 path.string(),
                 " is a directory, expects a file");
  ESPALIER_CHECK(status.type() == std::filesystem::file_type::regular,
                 IoError,
                 what,
                 ": ",
                 path.string(),
                 " is not a regular file");
  const auto size = std::filesystem::file_size(path, error);
  ESPALIER_CHECK(!error, IoError, what, ": ", path.string(), ": ", error.message());
  ESPALIER_CHECK(std::ifstream(path, std::ios::binary).good(),
                 IoError,
                 what,
                 ": ",
                 path.string(),
                 " can't be opened for reading. Is permission missing?");
  ESPALIER_CHECK(size > 0, IoError, what, ": ", path.string(), " is empty");
  return static_cast<int64_t>(size);
}

void check_directory(const std::filesystem::path& path, std::string_view what) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  ESPALIER_CHECK(status.type() != std::filesystem::file_type::not_found,
                 IoError,
                 what,
                 ": ",
                 path.string(),
                 " does not exist");
  ESPALIER_CHECK(!error, IoError, what, ": ", path.string(), ": ", error.message());
  ESPALIER_CHECK(status.type() == std::filesystem::file_type::directory,
                 IoError,
                 what,
                 ": ",
                 path.string(),
                 " is not a directory");
  std::filesystem::directory_iterator(path, error);
  ESPALIER_CHECK(!error, IoError, what, ": ", path.string(), " can't be listed: ", error.message());
}

void check_class_name(std::string_view name, const std::string& where, std::string_view what) {
  ESPALIER_CHECK(espalier::detail::is_utf8(name),
                 IoError,
                 what,
                 ": expected names of classes in UTF-8, got '",
                 espalier::detail::printable_line(name),
                 "' (",
                 espalier::detail::printable_line(where),
                 "). Rename it");
}

}  // namespace espalier::data::detail
