// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/file_set.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <espalier/core/detail/json.h>
#include <espalier/core/detail/new_folders.h>
#include <espalier/core/detail/temporary_file.h>
#include <espalier/core/error.h>
#include <espalier/core/io.h>

namespace espalier {
namespace {

namespace fs = std::filesystem;
using detail::Descriptor;
using detail::open_descriptor;
using detail::system_reason;
using Json = nlohmann::json;

constexpr auto kPatience = std::chrono::seconds(2);  // another's replacement takes less
constexpr const char* kJournal = ".espalier-files.json";

[[noreturn]] void fail(const fs::path& path, const std::string& reason) {
  throw WriteError(cat("can't replace ", path.string(), ": ", reason));
}

void check_made(const fs::path& path, const std::error_code& error) {
  if (error) fail(path, error.message());
}

// Relative, in its shortest form, and inside.
std::string inner_name(const fs::path& folder, const fs::path& name) {
  const fs::path plain = name.lexically_normal();
  const bool leaves = plain.empty() || plain.is_absolute() || !plain.has_filename() ||
                      *plain.begin() == ".." || *plain.begin() == ".";
  const std::string out = plain.string();
  const auto refuse = [&](const char* reason) {
    throw IoError(cat("can't replace ", (folder / name).string(), ": ", reason));
  };
  if (leaves) refuse("a file of a set lies in its folder");
  if (!detail::is_utf8(out)) refuse("its name is not UTF-8");
  return out;
}

void sync(const fs::path& path, int flags) {
  const Descriptor file = open_descriptor(path, O_RDONLY | flags);
  if (!file.open()) fail(path, system_reason());
  // Some file systems can't sync a folder.
  if (::fsync(file.get()) != 0 && flags == 0) fail(path, system_reason());
}

void sync_folders(const fs::path& folder, const std::vector<std::string>& names) {
  std::vector<fs::path> folders = {folder};
  for (const std::string& name : names) folders.push_back((folder / name).parent_path());
  std::sort(folders.begin(), folders.end());
  folders.erase(std::unique(folders.begin(), folders.end()), folders.end());
  for (const fs::path& one : folders) sync(one, O_DIRECTORY);
}

/// What goes where: the new file `staged[i]` to `names[i]`.
struct Journal {
  std::vector<std::string> staged;
  std::vector<std::string> names;
  std::vector<std::string> removed;

  Json to_json() const { return {{"from", staged}, {"files", names}, {"remove", removed}}; }
};

bool is_staged_name(std::string_view name) {
  return name.starts_with(detail::kStagedStart) && detail::is_temporary_name(name) &&
         name.find('/') == name.npos;
}

Journal read_journal(const fs::path& folder) {
  const fs::path path = folder / kJournal;
  const std::vector<uint8_t> bytes = read_file(path, "files");
  const Json json = detail::parse_json<Json>(bytes, cat("files: ", path.string()));
  const auto bad = [&] {
    return IoError(cat("files: ",
                       path.string(),
                       " is damaged; the files beside it may be old and "
                       "new ones mixed. Remove all of them"));
  };
  const auto texts = [&](const char* key) {
    std::vector<std::string> out;
    if (!json.is_object() || !json.contains(key) || !json.at(key).is_array()) throw bad();
    for (const Json& name : json.at(key)) {
      if (!name.is_string()) throw bad();
      out.push_back(inner_name(folder, name.get<std::string>()));
    }
    return out;
  };
  Journal out{.staged = texts("from"), .names = texts("files"), .removed = texts("remove")};
  const bool all_staged = std::all_of(out.staged.begin(), out.staged.end(), is_staged_name);
  if (!all_staged || out.staged.size() != out.names.size()) throw bad();
  return out;
}

// Moves what is not in its place yet. Done any number of times, it ends the same.
void carry_out(const fs::path& folder, const Journal& journal) {
  for (size_t i = 0; i < journal.names.size(); ++i) {
    const fs::path from = folder / journal.staged[i];
    const fs::path to = folder / journal.names[i];
    std::error_code error;
    fs::create_directories(to.parent_path(), error);
    check_made(to, error);
    if (::rename(from.c_str(), to.c_str()) == 0) continue;
    // Moved before the writer was killed.
    if (errno != ENOENT || path_kind(to) != PathKind::File) fail(to, system_reason());
  }
  sync_folders(folder, journal.names);
  for (const std::string& name : journal.removed) ::unlink((folder / name).c_str());
  if (::unlink((folder / kJournal).c_str()) != 0) fail(folder / kJournal, system_reason());
  sync(folder, O_DIRECTORY);
}

// New files that no journal names. The folder is locked: nobody writes to them.
void remove_staging(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> found;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    if (is_staged_name(entry->path().filename().string())) found.push_back(entry->path());
  }
  for (const fs::path& path : found) ::unlink(path.c_str());
}

}  // namespace

struct FileSet::Impl {
  explicit Impl(fs::path path) : folder(std::move(path)), folders(folder) {}
  fs::path folder;
  detail::NewFolders folders;
  Descriptor lock;
  Journal files;
};

FileSet::FileSet(fs::path folder) : impl_(std::make_unique<Impl>(std::move(folder))) {
  Impl& my = *impl_;
  ESPALIER_CHECK(!my.folders.error(),
                 WriteError,
                 "can't create folder ",
                 my.folder.string(),
                 ": ",
                 my.folders.error().message());
  my.lock = open_descriptor(my.folder, O_RDONLY | O_DIRECTORY);
  if (!my.lock.open()) fail(my.folder, system_reason());
  // The system lets go of the lock when the process ends, however it ends.
  const auto patience = std::chrono::steady_clock::now() + kPatience;
  while (::flock(my.lock.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    if (std::chrono::steady_clock::now() > patience) {
      fail(my.folder, "another process is at work there");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  if (path_kind(my.folder / kJournal) != PathKind::Missing) {
    carry_out(my.folder, read_journal(my.folder));
  }
  remove_staging(my.folder);
  remove_temporary_files(my.folder);
}

FileSet::~FileSet() {
  for (const std::string& name : impl_->files.staged) ::unlink((impl_->folder / name).c_str());
}

fs::path FileSet::stage(const fs::path& name) {
  Impl& my = *impl_;
  const std::string inner = inner_name(my.folder, name);
  const fs::path target = my.folder / inner;
  std::error_code error;
  const fs::file_type type = fs::symlink_status(target, error).type();
  if (type != fs::file_type::not_found && type != fs::file_type::regular) {
    fail(target,
         type == fs::file_type::symlink
             ? std::string("it is a link, and files of a set replace files alone")
             : cat("it is ", words_for(path_kind(target))));
  }
  auto& [staged, names, removed] = my.files;
  const auto known = std::find(names.begin(), names.end(), inner);
  if (known != names.end()) return my.folder / staged[static_cast<size_t>(known - names.begin())];
  const fs::path path = detail::temporary_name(my.folder / detail::kStagedStart.substr(1));
  names.push_back(inner);
  staged.push_back(path.filename().string());
  return path;
}

void FileSet::write(const fs::path& name, const void* bytes, int64_t count) {
  detail::replace_file(stage(name), impl_->folder / name, nullptr, bytes, count);
}

void FileSet::write(const fs::path& name, std::string_view text) {
  write(name, text.data(), static_cast<int64_t>(text.size()));
}

void FileSet::remove(const fs::path& name) {
  impl_->files.removed.push_back(inner_name(impl_->folder, name));
}

void FileSet::commit() {
  Impl& my = *impl_;
  for (size_t i = 0; i < my.files.names.size(); ++i) {
    const fs::path staged = my.folder / my.files.staged[i];
    struct stat replaced {};
    if (::stat((my.folder / my.files.names[i]).c_str(), &replaced) == 0) {
      ::chmod(staged.c_str(), replaced.st_mode & 0777);
    }
    sync(staged, 0);
  }
  sync(my.folder, O_DIRECTORY);
  write_file(my.folder / kJournal, my.files.to_json().dump());
  my.folders.keep();
  // From here on the new files are the journal's.
  const Journal journal = std::exchange(my.files, {});
  carry_out(my.folder, journal);
}

void check_file_set(const fs::path& folder) {
  ESPALIER_CHECK(path_kind(folder / kJournal) == PathKind::Missing,
                 IoError,
                 folder.string(),
                 " holds old and new files mixed: a command that replaced them was stopped. The "
                 "same command again goes on");
}

void finish_file_set(const fs::path& folder) {
  if (path_kind(folder / kJournal) != PathKind::Missing) {
    const FileSet finishing(folder);
  }
}

bool holds_nothing(const fs::path& folder) {
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    if (!detail::is_temporary_name(entry->path().filename().string())) return false;
  }
  return !error || error == std::errc::no_such_file_or_directory;
}

}  // namespace espalier
