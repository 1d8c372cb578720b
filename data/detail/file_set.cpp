// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/detail/file_set.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <espalier/core/error.h>
#include <espalier/core/io.h>

namespace espalier::data::detail {
namespace {

namespace fs = std::filesystem;

// New files that may still be incomplete, and such that are final.
constexpr const char* kStaging = ".espalier-set-new";
constexpr const char* kFinal = ".espalier-set-ready";

[[noreturn]] void fail(const fs::path& path, const std::string& reason) {
  throw IoError(cat("can't replace ", path.string(), ": ", reason));
}

std::string last_error() {
  return std::generic_category().message(errno);
}

class Descriptor {
 public:
  Descriptor(const fs::path& path, int flags) : value_(::open(path.c_str(), flags | O_CLOEXEC)) {}
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return value_; }

 private:
  int value_;
};

// Some file systems can't sync a folder (EINVAL); its files are whole either way.
void sync_folder(const fs::path& folder) {
  const Descriptor descriptor(folder, O_RDONLY | O_DIRECTORY);
  if (descriptor.get() >= 0) ::fsync(descriptor.get());
}

void sync_file(const fs::path& file) {
  const Descriptor descriptor(file, O_RDONLY);
  if (descriptor.get() < 0 || ::fsync(descriptor.get()) != 0) fail(file, last_error());
}

// The entries below `folder`, a folder before what is in it.
std::vector<fs::path> entries_below(const fs::path& folder) {
  std::vector<fs::path> out;
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end;
       at.increment(error)) {
    out.push_back(at->path().lexically_relative(folder));
  }
  if (error) fail(folder, error.message());
  return out;
}

// Moves what is in the final folder to its place. Each step may have been done before.
void move_into_place(const fs::path& folder) {
  const fs::path from = folder / kFinal;
  std::error_code error;
  for (const fs::path& name : entries_below(from)) {
    if (fs::is_directory(from / name, error)) {
      fs::create_directory(folder / name, error);
    } else {
      fs::rename(from / name, folder / name, error);
    }
    if (error) fail(folder / name, error.message());
  }
  for (const fs::path& name : entries_below(from)) {
    if (fs::is_directory(folder / name, error)) sync_folder(folder / name);
  }
  sync_folder(folder);
  fs::remove_all(from, error);  // only empty folders are left
  if (error) fail(from, error.message());
  sync_folder(folder);
}

}  // namespace

struct FileSet::Impl {
  fs::path folder;
  fs::path staging;
  std::unique_ptr<Descriptor> lock;
  std::vector<fs::path> removed;
};

FileSet::FileSet(const fs::path& folder) : impl_(std::make_unique<Impl>()) {
  impl_->folder = folder;
  impl_->staging = folder / kStaging;
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) fail(folder, error.message());
  impl_->lock = std::make_unique<Descriptor>(folder, O_RDONLY | O_DIRECTORY);
  if (impl_->lock->get() < 0) fail(folder, last_error());
  if (::flock(impl_->lock->get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    fail(folder, "another process is at work there");
  }
  if (fs::exists(folder / kFinal, error)) move_into_place(folder);
  fs::remove_all(impl_->staging, error);
  fs::create_directory(impl_->staging, error);
  if (error) fail(folder, error.message());
}

FileSet::~FileSet() {
  std::error_code error;
  fs::remove_all(impl_->staging, error);
}

fs::path FileSet::stage(const fs::path& name) {
  std::error_code error;
  fs::path place = impl_->folder;
  for (const fs::path& part : name.parent_path()) {
    place /= part;
    const fs::file_type type = fs::status(place, error).type();
    if (type != fs::file_type::not_found && type != fs::file_type::directory) {
      fail(place, "it is no folder");
    }
  }
  const fs::file_type type = fs::symlink_status(impl_->folder / name, error).type();
  if (type != fs::file_type::not_found && type != fs::file_type::regular) {
    fail(impl_->folder / name, "it is no plain file");
  }
  const fs::path out = impl_->staging / name;
  fs::create_directories(out.parent_path(), error);
  if (error) fail(out, error.message());
  return out;
}

void FileSet::write(const fs::path& name, const void* bytes, int64_t count) {
  write_file(stage(name), bytes, count);
}

void FileSet::write(const fs::path& name, std::string_view text) {
  write_file(stage(name), text);
}

void FileSet::remove(const fs::path& name) {
  impl_->removed.push_back(name);
}

void FileSet::commit() {
  const fs::path& staging = impl_->staging;
  for (const fs::path& name : entries_below(staging)) {
    std::error_code error;
    const fs::file_status replaced = fs::status(impl_->folder / name, error);
    if (replaced.type() == fs::file_type::regular) {
      fs::permissions(staging / name, replaced.permissions(), error);  // those of the old one stay
    }
    fs::is_directory(staging / name, error) ? sync_folder(staging / name)
                                            : sync_file(staging / name);
  }
  sync_folder(staging);
  std::error_code error;
  fs::rename(staging, impl_->folder / kFinal, error);  // from here on the new files count
  if (error) fail(impl_->folder, error.message());
  sync_folder(impl_->folder);
  move_into_place(impl_->folder);
  for (const fs::path& name : impl_->removed) fs::remove(impl_->folder / name, error);
}

void check_file_set(const fs::path& folder) {
  std::error_code error;
  ESPALIER_CHECK(!fs::exists(folder / kFinal, error),
                 IoError,
                 folder.string(),
                 " holds old and new files mixed: a command that replaced them was stopped. The "
                 "same command again goes on");
}

void finish_file_set(const fs::path& folder) {
  std::error_code error;
  if (fs::exists(folder / kFinal, error)) FileSet finished(folder);
}

bool holds_nothing(const fs::path& folder) {
  std::error_code error;
  if (!fs::exists(folder, error)) return true;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    if (at->path().filename() != kStaging) return false;
  }
  return !error;
}

}  // namespace espalier::data::detail
