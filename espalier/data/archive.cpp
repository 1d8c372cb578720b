// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <system_error>
#include <vector>

#include <archive.h>
#include <archive_entry.h>

#include <espalier/core/error.h>
#include <espalier/data/detail/file_checks.h>
#include <espalier/data/detail/unpack.h>
#include <espalier/data/fetch.h>

namespace espalier::data {
namespace {

namespace fs = std::filesystem;

struct Close {
  void operator()(struct archive* archive) const { archive_read_free(archive); }
  void operator()(std::FILE* file) const { std::fclose(file); }
};

class Extraction {
 public:
  Extraction(const fs::path& archive, FileSet& files, int strip, int64_t max_bytes)
      : path_(archive), files_(files), strip_(strip), bytes_left_(max_bytes) {
    detail::check_readable(archive, "archive");
    reader_.reset(archive_read_new());
    ESPALIER_CHECK(reader_ != nullptr, IoError, "archive: libarchive can't be started");
    archive_read_support_filter_all(reader_.get());
    archive_read_support_format_tar(reader_.get());
    archive_read_support_format_zip(reader_.get());
    if (archive_read_open_filename(reader_.get(), archive.c_str(), kPiece) != ARCHIVE_OK) {
      fail("can't be opened", archive_error_string(reader_.get()));
    }
  }

  std::vector<std::string> run() {
    struct archive_entry* entry = nullptr;
    for (;;) {
      const int result = archive_read_next_header(reader_.get(), &entry);
      if (result == ARCHIVE_EOF) break;
      if (result < ARCHIVE_WARN) fail("is broken", archive_error_string(reader_.get()));
      extract(entry);
    }
    if (names_.empty()) fail("holds no files", nullptr);
    return names_;
  }

 private:
  static constexpr size_t kPiece = size_t{1} << 16;

  [[noreturn]] void fail(const std::string& text, const char* reason) const {
    throw IoError(cat("archive: ", path_.string(), " ", text, reason ? cat(": ", reason) : ""));
  }

  // The place of an entry under the folder; empty when all of its name is stripped.
  fs::path place_of(const std::string& name) const {
    const fs::path path(name);
    const bool harmless =
        !name.empty() && !path.is_absolute() && name.find('\\') == name.npos &&
        std::none_of(path.begin(), path.end(), [](const fs::path& part) { return part == ".."; });
    if (!harmless) fail(cat("has an entry that leads out of its folder, '", name, "'"), nullptr);
    fs::path out;
    int skipped = 0;
    for (const fs::path& part : path) {
      if (part.empty() || part == ".") continue;
      if (skipped < strip_) {
        ++skipped;
      } else {
        out /= part;
      }
    }
    return out;
  }

  void extract(struct archive_entry* entry) {
    const char* raw = archive_entry_pathname(entry);
    const std::string name = raw == nullptr ? "" : raw;
    const fs::path place = place_of(name);
    if (archive_entry_filetype(entry) == AE_IFDIR) return;  // folders come with their files
    if (archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry) != nullptr) {
      fail(cat("has an entry that is a link or a device, '", name, "'"), nullptr);
    }
    if (place.empty()) return;
    fs::path staged;
    try {
      staged = files_.stage(place);
    } catch (const IoError& error) {
      fail(cat("can't be unpacked at '", name, "'"), error.what());
    }
    write(staged, name);
    if (std::find(names_.begin(), names_.end(), place.string()) == names_.end()) {
      names_.push_back(place.string());
    }
  }

  void write(const fs::path& staged, const std::string& name) {
    const std::unique_ptr<std::FILE, Close> out(std::fopen(staged.c_str(), "wbe"));
    if (!out)
      fail(cat("can't be unpacked at '", name, "'"),
           std::generic_category().message(errno).c_str());
    for (;;) {
      const la_ssize_t n = archive_read_data(reader_.get(), piece_.data(), piece_.size());
      if (n == 0) break;
      if (n < 0) fail(cat("is broken at '", name, "'"), archive_error_string(reader_.get()));
      bytes_left_ -= n;
      if (bytes_left_ < 0) fail(cat("unpacks to more than is allowed, at '", name, "'"), nullptr);
      if (std::fwrite(piece_.data(), 1, static_cast<size_t>(n), out.get()) !=
          static_cast<size_t>(n)) {
        fail(cat("can't be unpacked at '", name, "'"), "the disk is full?");
      }
    }
    if (std::fflush(out.get()) != 0)
      fail(cat("can't be unpacked at '", name, "'"), "the disk is full?");
  }

  const fs::path& path_;
  FileSet& files_;
  std::vector<std::string> names_;
  int strip_;
  int64_t bytes_left_;
  std::unique_ptr<struct archive, Close> reader_;
  std::vector<char> piece_ = std::vector<char>(kPiece);
};

}  // namespace

std::vector<std::string> detail::unpack(const std::filesystem::path& archive,
                                        FileSet& files,
                                        int strip,
                                        int64_t max_bytes) {
  return Extraction(archive, files, strip, max_bytes).run();
}

void extract_archive(const std::filesystem::path& archive,
                     const std::filesystem::path& folder,
                     int strip,
                     int64_t max_bytes) {
  detail::check_readable(archive, "archive");
  FileSet files(folder);
  detail::unpack(archive, files, strip, max_bytes);
  files.commit();
}

}  // namespace espalier::data
