// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/detail/temporary_file.h>

#include <atomic>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <espalier/core/error.h>
#include <espalier/core/io.h>

namespace espalier::detail {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostOfName = 180;  // of the 255 bytes that file systems take, with room for mark

// The temporary files of this process: its number alone doesn't tell them from those of a process
// before it that had the same, as the only one of a container has.
struct Own {
  std::mutex mutex;
  std::set<fs::path> writing;
  std::set<fs::path> swept;
};

Own& own() {
  static Own instance;
  return instance;
}

// The process that made a temporary file.
std::optional<pid_t> maker(std::string_view name) {
  const size_t mark = name.rfind(kTemporaryMark);
  if (!name.starts_with('.') || mark == name.npos) return std::nullopt;
  const char* at = name.data() + mark + kTemporaryMark.size();
  const char* const end = name.data() + name.size();
  pid_t process = 0;
  const auto [dash, bad] = std::from_chars(at, end, process);
  if (bad != std::errc{} || process <= 0 || dash == end || *dash != '-') return std::nullopt;
  uint64_t number = 0;
  const auto [rest, wrong] = std::from_chars(dash + 1, end, number);
  if (wrong != std::errc{} || rest != end) return std::nullopt;
  return process;
}

}  // namespace

fs::path temporary_name(const fs::path& target) {
  static std::atomic<uint64_t> counter{0};
  return target.parent_path() / cat(".",
                                    target.filename().string().substr(0, kMostOfName),
                                    kTemporaryMark,
                                    static_cast<int64_t>(::getpid()),
                                    "-",
                                    counter.fetch_add(1));
}

bool is_temporary_name(std::string_view name) {
  return maker(name).has_value();
}

TemporaryFile::TemporaryFile(const fs::path& target) : path_(temporary_name(target)) {
  const auto create = [this] {
    file_ = open_descriptor(path_, O_WRONLY | O_CREAT | O_EXCL, 0666);
    return file_.open();
  };
  const std::lock_guard lock(own().mutex);
  own().writing.insert(path_);
  // What is there is of a process that had our number and was killed.
  if (!create() && errno == EEXIST && ::unlink(path_.c_str()) == 0) create();
  if (file_.open()) ::flock(file_.get(), LOCK_EX | LOCK_NB);
}

TemporaryFile::~TemporaryFile() {
  if (!renamed_ && file_.open()) ::unlink(path_.c_str());
  const std::lock_guard lock(own().mutex);
  own().writing.erase(path_);
}

bool TemporaryFile::rename_to(const fs::path& target) {
  renamed_ = ::rename(path_.c_str(), target.c_str()) == 0;
  return renamed_;
}

bool is_stale(const fs::path& path) {
  const std::optional<pid_t> process = maker(path.filename().string());
  if (!process) return false;
  if (*process == ::getpid()) {
    const std::lock_guard lock(own().mutex);
    return !own().writing.contains(path);
  }
  if (::kill(*process, 0) == 0 || errno != ESRCH) return false;
  // In another container, or on another machine that shares the folder, it may be alive.
  const Descriptor file = open_descriptor(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
  return !file.open() || ::flock(file.get(), LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
}

void sweep_once(const fs::path& folder) {
  {
    const std::lock_guard lock(own().mutex);
    if (!own().swept.insert(folder).second) return;
  }
  remove_temporary_files(folder);
}

}  // namespace espalier::detail
