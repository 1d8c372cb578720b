// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/detail/free_memory.h>

#include <algorithm>
#include <fstream>
#include <string>

#include <espalier/core/detail/control_group.h>

namespace espalier::detail {
namespace {

namespace fs = std::filesystem;

// Without a limit version 1 tells the largest multiple of a page below 2^63.
constexpr double kNoLimit = 9e18;

/// The number behind `name` in a file of such lines; 0 where it is not.
double entry_of(const fs::path& file, const std::string& name) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(name)) continue;
    const size_t at = line.find_first_of("0123456789", name.size());
    if (at == std::string::npos) continue;
    const size_t end = line.find_first_not_of("0123456789", at);
    return positive_number({line.substr(at, end == std::string::npos ? end : end - at)}, 0)
        .value_or(0.0);
  }
  return 0.0;
}

std::optional<double> left_in(const fs::path& folder, bool unified) {
  const auto number = [&](const char* file) {
    return positive_number(first_words(folder / file), 0);
  };
  const auto limit = number(unified ? "memory.max" : "memory.limit_in_bytes");
  if (!limit || *limit > kNoLimit) return std::nullopt;
  const double used = number(unified ? "memory.current" : "memory.usage_in_bytes").value_or(0.0);
  const fs::path stat = folder / "memory.stat";
  const std::string of = unified ? "" : "total_";
  const double files = entry_of(stat, of + "inactive_file ") + entry_of(stat, of + "active_file ");
  return std::max(0.0, *limit - std::max(0.0, used - files));
}

}  // namespace

std::optional<int64_t> free_memory(const fs::path& root) {
  std::optional<double> least = least_of_groups(root, "memory", left_in);
  const double available = 1024.0 * entry_of(root / "proc/meminfo", "MemAvailable:");
  if (available > 0.0) least = std::min(available, least.value_or(available));
  if (!least) return std::nullopt;
  return static_cast<int64_t>(*least);
}

}  // namespace espalier::detail
