// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/io.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <new>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <espalier/core/error.h>

namespace espalier {
namespace {

namespace fs = std::filesystem;

std::string reason() {
  return std::generic_category().message(errno);
}

class File {
 public:
  explicit File(int descriptor) : descriptor_(descriptor) {}
  ~File() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int get() const { return descriptor_; }
  bool open() const { return descriptor_ >= 0; }
  // Some file systems report a failed write only here.
  bool close() { return ::close(std::exchange(descriptor_, -1)) == 0; }

 private:
  int descriptor_;
};

// A file under a temporary name, removed unless it was renamed to its final one.
class TemporaryFile {
 public:
  explicit TemporaryFile(const fs::path& target) {
    static std::atomic<uint64_t> counter{0};
    path_ = target.parent_path() / cat(".",
                                       target.filename().string(),
                                       kTemporaryMark,
                                       static_cast<int64_t>(::getpid()),
                                       "-",
                                       counter.fetch_add(1));
  }
  ~TemporaryFile() {
    if (!renamed_) ::unlink(path_.c_str());
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  const fs::path& path() const { return path_; }
  bool rename_to(const fs::path& target) {
    renamed_ = ::rename(path_.c_str(), target.c_str()) == 0;
    return renamed_;
  }

 private:
  fs::path path_;
  bool renamed_ = false;
};

}  // namespace

std::vector<uint8_t> read_file(const fs::path& path, std::string_view what, int64_t max_bytes) {
  // Without O_NONBLOCK a named pipe would block for ever.
  const File file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  ESPALIER_CHECK(file.open(), IoError, what, ": can't open ", path.string(), ": ", reason());
  struct stat info {};
  ESPALIER_CHECK(::fstat(file.get(), &info) == 0,
                 IoError,
                 what,
                 ": can't read ",
                 path.string(),
                 ": ",
                 reason());
  ESPALIER_CHECK(!S_ISDIR(info.st_mode),
                 IoError,
                 what,
                 ": ",
                 path.string(),
                 " is a directory, expected a file");
  ESPALIER_CHECK(
      S_ISREG(info.st_mode), IoError, what, ": ", path.string(), " is not a regular file");
  const auto size = static_cast<int64_t>(info.st_size);
  ESPALIER_CHECK(size <= max_bytes,
                 IoError,
                 what,
                 ": ",
                 path.string(),
                 " has ",
                 size,
                 " bytes, expected at most ",
                 max_bytes);
  std::vector<uint8_t> bytes;
  try {
    bytes.resize(static_cast<size_t>(size));
  } catch (const std::bad_alloc&) {
    throw IoError(
        cat(what, ": ", path.string(), " has ", size, " bytes, more than fits in memory"));
  }
  int64_t done = 0;
  while (done < size) {
    const ssize_t got = ::read(file.get(), bytes.data() + done, static_cast<size_t>(size - done));
    if (got < 0 && errno == EINTR) continue;
    ESPALIER_CHECK(got >= 0, IoError, what, ": can't read ", path.string(), ": ", reason());
    ESPALIER_CHECK(
        got > 0, IoError, what, ": ", path.string(), " ended after ", done, " of ", size, " bytes");
    done += got;
  }
  return bytes;
}

void write_file(const fs::path& path, const void* bytes, int64_t count) {
  ESPALIER_CHECK(count >= 0, ValueError, "write_file: negative size ", count);
  ESPALIER_CHECK(path.has_filename(), IoError, "write_file: '", path.string(), "' names no file");
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  std::error_code error;
  fs::create_directories(folder, error);
  ESPALIER_CHECK(!error, IoError, "can't create folder ", folder.string(), ": ", error.message());

  TemporaryFile temporary(path);
  File file(::open(temporary.path().c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  ESPALIER_CHECK(file.open(), IoError, "can't write ", path.string(), ": ", reason());
  const char* data = static_cast<const char*>(bytes);
  int64_t done = 0;
  while (done < count) {
    const ssize_t put = ::write(file.get(), data + done, static_cast<size_t>(count - done));
    if (put < 0 && errno == EINTR) continue;
    ESPALIER_CHECK(put > 0,
                   IoError,
                   "can't write ",
                   path.string(),
                   ": ",
                   reason(),
                   " after ",
                   done,
                   " of ",
                   count,
                   " bytes; what was there before is untouched");
    done += put;
  }
  ESPALIER_CHECK(::fsync(file.get()) == 0 && file.close() && temporary.rename_to(path),
                 IoError,
                 "can't write ",
                 path.string(),
                 ": ",
                 reason(),
                 "; what was there before is untouched");
  // The new name survives a power cut only once the folder is on disk. Some file systems can't sync
  // a folder (EINVAL); the file itself is whole either way.
  const File directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.open()) ::fsync(directory.get());
}

void write_file(const fs::path& path, std::string_view text) {
  write_file(path, text.data(), static_cast<int64_t>(text.size()));
}

void remove_temporary_files(const fs::path& folder) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(".") && name.find(kTemporaryMark) != std::string::npos) {
      std::error_code ignored;  // another process may clean the same folder
      fs::remove(entry.path(), ignored);
    }
  }
}

}  // namespace espalier
