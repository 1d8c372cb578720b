// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/io.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <new>
#include <system_error>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <espalier/core/detail/new_folders.h>
#include <espalier/core/detail/temporary_file.h>
#include <espalier/core/error.h>

namespace espalier {
namespace {

namespace fs = std::filesystem;
using detail::Descriptor;
using detail::open_descriptor;
using detail::system_reason;

constexpr int kPatience = 60'000;  // milliseconds that a pipe's reader may take nothing

PathKind kind_of_mode(mode_t mode) {
  if (S_ISREG(mode)) return PathKind::File;
  if (S_ISDIR(mode)) return PathKind::Folder;
  if (S_ISFIFO(mode)) return PathKind::Pipe;
  if (S_ISSOCK(mode)) return PathKind::Socket;
  return PathKind::Device;
}

// Opens a plain file for reading, and tells its size.
Descriptor open_input(const fs::path& path, std::string_view what, int64_t& size) {
  // Without O_NONBLOCK a named pipe would block for ever.
  Descriptor file = open_descriptor(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  ESPALIER_CHECK(file.open(), IoError, what, ": can't open ", path.string(), ": ", system_reason());
  struct stat info {};
  ESPALIER_CHECK(::fstat(file.get(), &info) == 0,
                 IoError,
                 what,
                 ": can't read ",
                 path.string(),
                 ": ",
                 system_reason());
  const PathKind kind = kind_of_mode(info.st_mode);
  ESPALIER_CHECK(kind == PathKind::File,
                 IoError,
                 what,
                 ": expected a file, but ",
                 path.string(),
                 " is ",
                 words_for(kind));
  size = static_cast<int64_t>(info.st_size);
  return file;
}

std::vector<uint8_t> read_bytes(const Descriptor& file,
                                int64_t count,
                                const fs::path& path,
                                std::string_view what) {
  std::vector<uint8_t> bytes;
  try {
    bytes.resize(static_cast<size_t>(count));
  } catch (const std::bad_alloc&) {
    throw IoError(
        cat(what, ": ", path.string(), " has ", count, " bytes, more than fits in memory"));
  }
  int64_t done = 0;
  while (done < count) {
    const ssize_t got = ::read(file.get(), bytes.data() + done, static_cast<size_t>(count - done));
    if (got < 0 && errno == EINTR) continue;
    ESPALIER_CHECK(got >= 0, IoError, what, ": can't read ", path.string(), ": ", system_reason());
    ESPALIER_CHECK(got > 0,
                   IoError,
                   what,
                   ": ",
                   path.string(),
                   " ended after ",
                   done,
                   " of ",
                   count,
                   " bytes");
    done += got;
  }
  return bytes;
}

// While it lives, a pipe whose reader is gone is an error of write and doesn't end the process.
class NoPipeSignal {
 public:
  NoPipeSignal() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    sigset_t pending;
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~NoPipeSignal() {
    const timespec now{};
    if (!was_pending_) {
      while (sigtimedwait(&pipe_, nullptr, &now) < 0 && errno == EINTR) {
      }
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  NoPipeSignal(const NoPipeSignal&) = delete;
  NoPipeSignal& operator=(const NoPipeSignal&) = delete;

 private:
  sigset_t pipe_;
  sigset_t before_;
  bool was_pending_ = false;
};

bool write_bytes(int file, const void* bytes, int64_t count, int64_t& done) {
  const char* data = static_cast<const char*>(bytes);
  for (done = 0; done < count;) {
    const ssize_t put = ::write(file, data + done, static_cast<size_t>(count - done));
    if (put > 0) {
      done += put;
    } else if (put < 0 && errno == EAGAIN) {
      pollfd wait{.fd = file, .events = POLLOUT, .revents = 0};
      if (::poll(&wait, 1, kPatience) == 0) {
        errno = ETIMEDOUT;
        return false;
      }
    } else if (put == 0 || errno != EINTR) {
      return false;
    }
  }
  return true;
}

// A device, a pipe, or the file that the standard output was sent to: what it is stays.
void write_through(Descriptor file, const fs::path& path, const void* bytes, int64_t count) {
  ESPALIER_CHECK(file.open(),
                 WriteError,
                 "can't write ",
                 path.string(),
                 ": ",
                 errno == ENXIO ? "nobody reads it" : system_reason());
  const NoPipeSignal quiet;
  int64_t done = 0;
  ESPALIER_CHECK(write_bytes(file.get(), bytes, count, done) && file.close(),
                 WriteError,
                 "can't write ",
                 path.string(),
                 ": ",
                 errno == ETIMEDOUT ? "its reader takes nothing" : system_reason(),
                 " after ",
                 done,
                 " of ",
                 count,
                 " bytes");
}

// The standard stream that writes to this file: replaced, it would lose what was printed.
int standard_stream(const struct stat& info) {
  for (const int stream : {STDOUT_FILENO, STDERR_FILENO}) {
    struct stat other {};
    if (::fstat(stream, &other) == 0 && other.st_dev == info.st_dev && other.st_ino == info.st_ino)
      return stream;
  }
  return -1;
}

// What links lead to, at last a name without a link, which need not exist.
fs::path follow_links(fs::path path) {
  constexpr int kMostLinks = 40;  // as many as the system follows
  for (int links = 0;; ++links) {
    std::error_code error;
    if (fs::symlink_status(path, error).type() != fs::file_type::symlink) return path;
    ESPALIER_CHECK(links < kMostLinks,
                   WriteError,
                   "can't write ",
                   path.string(),
                   ": a link that leads to itself");
    const fs::path leads_to = fs::read_symlink(path, error);
    ESPALIER_CHECK(!error, WriteError, "can't write ", path.string(), ": ", error.message());
    path = leads_to.is_absolute() ? leads_to : path.parent_path() / leads_to;
  }
}

fs::path folder_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

}  // namespace

namespace detail {

void replace_file(const fs::path& path,
                  const fs::path& told,
                  const struct stat* replaced,
                  const void* bytes,
                  int64_t count) {
  const fs::path folder = folder_of(path);
  NewFolders folders(folder);
  ESPALIER_CHECK(!folders.error(),
                 WriteError,
                 "can't write ",
                 told.string(),
                 ": can't create folder ",
                 folder.string(),
                 ": ",
                 folders.error().message());
  sweep_once(folder);

  TemporaryFile temporary(path);
  Descriptor& file = temporary.file();
  ESPALIER_CHECK(file.open(), WriteError, "can't write ", told.string(), ": ", system_reason());
  if (replaced != nullptr) {
    // The owner can be kept by root alone, and changing it clears bits of the mode.
    if (::fchown(file.get(), replaced->st_uid, replaced->st_gid) != 0) errno = 0;
    ::fchmod(file.get(), replaced->st_mode & 0777);
  }
  int64_t done = 0;
  ESPALIER_CHECK(write_bytes(file.get(), bytes, count, done),
                 WriteError,
                 "can't write ",
                 told.string(),
                 ": ",
                 system_reason(),
                 " after ",
                 done,
                 " of ",
                 count,
                 " bytes; what was there before is untouched");
  ESPALIER_CHECK(::fsync(file.get()) == 0 && temporary.rename_to(path),
                 WriteError,
                 "can't write ",
                 told.string(),
                 ": ",
                 system_reason(),
                 "; what was there before is untouched");
  folders.keep();
  // The new name survives a power cut only once the folder is on disk. Some file systems can't sync
  // a folder (EINVAL); the file itself is whole either way.
  const Descriptor directory = open_descriptor(folder, O_RDONLY | O_DIRECTORY);
  if (directory.open()) ::fsync(directory.get());
}

}  // namespace detail

std::vector<uint8_t> read_file(const fs::path& path, std::string_view what, int64_t max_bytes) {
  int64_t size = 0;
  const Descriptor file = open_input(path, what, size);
  ESPALIER_CHECK(size <= max_bytes,
                 IoError,
                 what,
                 ": ",
                 path.string(),
                 " has ",
                 size,
                 " bytes, expected at most ",
                 max_bytes);
  return read_bytes(file, size, path, what);
}

std::vector<uint8_t> read_start(const fs::path& path, std::string_view what, int64_t count) {
  int64_t size = 0;
  const Descriptor file = open_input(path, what, size);
  return read_bytes(file, std::min(size, count), path, what);
}

PathKind path_kind(const fs::path& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0) return kind_of_mode(info.st_mode);
  ESPALIER_CHECK(errno == ENOENT || errno == ENOTDIR,
                 IoError,
                 "can't look at ",
                 path.string(),
                 ": ",
                 system_reason());
  return PathKind::Missing;
}

std::string_view words_for(PathKind kind) {
  switch (kind) {
    case PathKind::Missing:
      return "missing";
    case PathKind::File:
      return "a file";
    case PathKind::Folder:
      return "a directory";
    case PathKind::Pipe:
      return "a named pipe";
    case PathKind::Device:
      return "a device";
    case PathKind::Socket:
      return "a socket";
  }
  return "";
}

void write_file(const fs::path& path, const void* bytes, int64_t count) {
  ESPALIER_CHECK(count >= 0, ValueError, "write_file: negative size ", count);
  ESPALIER_CHECK(
      path.has_filename(), WriteError, "write_file: '", path.string(), "' names no file");
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) {
    ESPALIER_CHECK(errno == ENOENT || errno == ENOTDIR,
                   WriteError,
                   "can't write ",
                   path.string(),
                   ": ",
                   system_reason());
    detail::replace_file(follow_links(path), path, nullptr, bytes, count);
    return;
  }
  const PathKind kind = kind_of_mode(info.st_mode);
  ESPALIER_CHECK(kind != PathKind::Folder && kind != PathKind::Socket && !S_ISBLK(info.st_mode),
                 WriteError,
                 "can't write ",
                 path.string(),
                 ": it is ",
                 S_ISBLK(info.st_mode) ? "a disk" : words_for(kind));
  if (kind != PathKind::File) {
    write_through(open_descriptor(path, O_WRONLY | O_NONBLOCK | O_NOCTTY), path, bytes, count);
  } else if (const int stream = standard_stream(info); stream >= 0) {
    write_through(
        Descriptor(::fcntl(stream, F_DUPFD_CLOEXEC, STDERR_FILENO + 1)), path, bytes, count);
  } else {
    detail::replace_file(follow_links(path), path, &info, bytes, count);
  }
}

void write_file(const fs::path& path, std::string_view text) {
  write_file(path, text.data(), static_cast<int64_t>(text.size()));
}

void remove_temporary_files(const fs::path& folder) {
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    std::error_code ignored;  // another process may clean the same folder
    const std::string name = entry->path().filename().string();
    // New files of a FileSet belong to it, which knows whether they are still wanted.
    if (!detail::is_temporary_name(name) || name.starts_with(detail::kStagedStart)) continue;
    if (entry->symlink_status(ignored).type() != fs::file_type::regular) continue;
    if (detail::is_stale(entry->path())) fs::remove(entry->path(), ignored);
  }
}

}  // namespace espalier
