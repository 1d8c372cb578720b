// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/detail/control_group.h>

#include <algorithm>
#include <charconv>
#include <fstream>

namespace espalier::detail {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> parts_of(const std::string& text, char separator) {
  std::vector<std::string> out;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(separator, begin), text.size());
    out.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return out;
}

bool contains(const std::vector<std::string>& list, const std::string& text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

/// Where a hierarchy of groups is to be read, and what of it that is.
struct Mount {
  std::string root;
  std::string place;
};

std::optional<Mount> find_mount(const fs::path& root, const std::string& controller, bool unified) {
  std::ifstream in(root / "proc/self/mountinfo");
  for (std::string line; std::getline(in, line);) {
    const std::vector<std::string> words = parts_of(line, ' ');
    const auto dash = std::find(words.begin(), words.end(), "-");
    if (words.size() < 6 || words.end() - dash < 4) continue;
    if (dash[1] != (unified ? "cgroup2" : "cgroup")) continue;
    if (unified || contains(parts_of(dash[3], ','), controller)) return Mount{words[3], words[4]};
  }
  return std::nullopt;
}

/// The path of this process's group; `unified`: of version 2.
std::optional<std::string> find_group(const fs::path& root,
                                      const std::string& controller,
                                      bool unified) {
  std::ifstream in(root / "proc/self/cgroup");
  for (std::string line; std::getline(in, line);) {
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool is_it =
        unified ? line.starts_with("0::") : contains(parts_of(controllers, ','), controller);
    if (is_it) return line.substr(second + 1);
  }
  return std::nullopt;
}

std::optional<double> least_of(const fs::path& root,
                               const std::string& controller,
                               const GroupReader& read,
                               bool unified) {
  const auto mount = find_mount(root, controller, unified);
  auto group = find_group(root, controller, unified);
  if (!mount || !group) return std::nullopt;
  // In a container the mount begins somewhere below the path that the kernel tells.
  if (mount->root != "/" && group->starts_with(mount->root))
    *group = group->substr(mount->root.size());
  const fs::path top = root / fs::path(mount->place).relative_path();
  fs::path folder = top / fs::path(*group).relative_path();
  std::error_code error;
  if (!fs::exists(folder, error)) folder = top;
  std::optional<double> least;
  for (;; folder = folder.parent_path()) {
    const auto found = read(folder, unified);
    if (found && (!least || *found < *least)) least = found;
    if (folder == top || folder == folder.parent_path()) return least;
  }
}

}  // namespace

std::vector<std::string> first_words(const fs::path& file) {
  std::ifstream in(file);
  std::string line;
  std::getline(in, line);
  return parts_of(line, ' ');
}

std::optional<double> positive_number(const std::vector<std::string>& words, size_t at) {
  if (at >= words.size()) return std::nullopt;
  const std::string& text = words[at];
  double value = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !(value > 0.0)) {
    return std::nullopt;  // `max`, -1, no such file
  }
  return value;
}

std::optional<double> least_of_groups(const fs::path& root,
                                      const std::string& controller,
                                      const GroupReader& read) {
  const auto first = least_of(root, controller, read, false);
  const auto second = least_of(root, controller, read, true);
  if (first && second) return std::min(*first, *second);
  return first ? first : second;
}

}  // namespace espalier::detail
