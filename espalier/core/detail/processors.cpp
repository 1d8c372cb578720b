// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/detail/processors.h>

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <thread>

#include <espalier/core/detail/control_group.h>

namespace espalier::detail {
namespace {

namespace fs = std::filesystem;

std::optional<double> quota_in(const fs::path& folder, bool unified) {
  const auto first = [&](const char* file) {
    return positive_number(first_words(folder / file), 0);
  };
  const auto quota = first(unified ? "cpu.max" : "cpu.cfs_quota_us");
  const auto period =
      unified ? positive_number(first_words(folder / "cpu.max"), 1) : first("cpu.cfs_period_us");
  if (!quota || !period) return std::nullopt;
  return *quota / *period;
}

}  // namespace

int processors_of_affinity() {
  // A machine may have more processors than cpu_set_t has bits.
  for (size_t count = 1024; count <= size_t{1} << 20; count *= 2) {
    cpu_set_t* set = CPU_ALLOC(count);
    if (set == nullptr) break;
    const size_t bytes = CPU_ALLOC_SIZE(count);
    const bool known = ::sched_getaffinity(0, bytes, set) == 0;
    const int allowed = known ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (known) return std::max(1, allowed);
  }
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

std::optional<double> quota_of_group(const fs::path& root) {
  return least_of_groups(root, "cpu", quota_in);
}

int available_processors() {
  const int allowed = processors_of_affinity();
  const auto quota = quota_of_group();
  if (!quota || *quota >= allowed) return allowed;
  return std::max(1, static_cast<int>(std::ceil(*quota - 1e-9)));
}

}  // namespace espalier::detail
