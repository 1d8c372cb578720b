// SPDX-License-Identifier: Apache-2.0
#include "archives.h"

#include <archive.h>
#include <gtest/gtest.h>

#include <espalier/core/random.h>

namespace espalier::data::testing {

namespace fs = std::filesystem;

Bytes noise(size_t size) {
  Bytes out(size);
  Rng rng(1, "noise");
  for (uint8_t& byte : out) byte = static_cast<uint8_t>(rng.next_u32());
  return out;
}

void make_archive(const fs::path& path, const std::vector<Entry>& entries, bool zip) {
  fs::create_directories(path.parent_path());
  struct archive* out = archive_write_new();
  zip ? archive_write_set_format_zip(out) : archive_write_set_format_pax_restricted(out);
  if (!zip) archive_write_add_filter_gzip(out);
  ASSERT_EQ(archive_write_open_filename(out, path.c_str()), ARCHIVE_OK);
  for (const Entry& e : entries) {
    struct archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, e.name.c_str());
    archive_entry_set_filetype(entry, e.type);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_size(entry, static_cast<int64_t>(e.content.size()));
    if (e.type == AE_IFLNK) archive_entry_set_symlink(entry, e.link.c_str());
    if (e.type == AE_IFREG && !e.link.empty()) archive_entry_set_hardlink(entry, e.link.c_str());
    ASSERT_EQ(archive_write_header(out, entry), ARCHIVE_OK);
    archive_write_data(out, e.content.data(), e.content.size());
    archive_entry_free(entry);
  }
  ASSERT_EQ(archive_write_close(out), ARCHIVE_OK);
  archive_write_free(out);
}

std::set<std::string> files_below(const fs::path& folder) {
  std::set<std::string> out;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) out.insert(fs::relative(entry.path(), folder).string());
  }
  return out;
}

}  // namespace espalier::data::testing
