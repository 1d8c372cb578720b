// SPDX-License-Identifier: Apache-2.0
/// What may still be taken, of made-up systems.
#include <gtest/gtest.h>

#include <espalier/core/detail/free_memory.h>
#include <espalier/core/tests/temporary_folder.h>

namespace espalier::detail {
namespace {

using espalier::testing::TemporaryFolder;

void make(const TemporaryFolder& folder,
          const std::vector<std::pair<std::string, std::string>>& files) {
  for (const auto& [path, text] : files) {
    std::filesystem::create_directories((folder / path).parent_path());
    folder.write(path, text);
  }
}

constexpr const char* kMeminfo =
    "MemTotal:       16000000 kB\nMemFree:         1000000 kB\nMemAvailable:    8000000 kB\n";
constexpr const char* kMountV2 = "29 22 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";

TEST(FreeMemory, IsWhatTheMachineHasAvailable) {
  const TemporaryFolder system;
  EXPECT_FALSE(free_memory(system.path()).has_value());
  make(system, {{"proc/meminfo", kMeminfo}});
  EXPECT_EQ(free_memory(system.path()), 8000000LL * 1024);
}

TEST(FreeMemory, IsWhatTheGroupsOfVersionTwoHaveLeftIfThatIsLess) {
  const TemporaryFolder system;
  make(system,
       {{"proc/meminfo", kMeminfo},
        {"proc/self/cgroup", "0::/user.slice/job\n"},
        {"proc/self/mountinfo", kMountV2},
        {"sys/fs/cgroup/user.slice/memory.max", "5000000\n"},
        {"sys/fs/cgroup/user.slice/memory.current", "4000000\n"},
        {"sys/fs/cgroup/user.slice/job/memory.max", "max\n"},
        {"sys/fs/cgroup/user.slice/job/memory.current", "3000000\n"}});
  EXPECT_EQ(free_memory(system.path()), 1000000);
  // What files hold in memory makes room.
  make(system,
       {{"sys/fs/cgroup/user.slice/memory.stat",
         "anon 3000000\ninactive_file 300000\nactive_file 200000\n"}});
  EXPECT_EQ(free_memory(system.path()), 1500000);
  make(system, {{"sys/fs/cgroup/user.slice/memory.current", "6000000\n"}});
  EXPECT_EQ(free_memory(system.path()), 0);
  make(system, {{"sys/fs/cgroup/user.slice/memory.max", "99000000000000\n"}});
  EXPECT_EQ(free_memory(system.path()), 8000000LL * 1024);
}

TEST(FreeMemory, IsReadInVersionOneWhereTheMemoryControllerIsMounted) {
  const TemporaryFolder system;
  make(system,
       {{"proc/self/cgroup", "5:memory:/m\n4:cpu:/job\n"},
        {"proc/self/mountinfo",
         "30 22 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
         "31 22 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"},
        {"sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"},
        {"sys/fs/cgroup/memory/memory.usage_in_bytes", "7000000\n"},
        {"sys/fs/cgroup/memory/m/memory.limit_in_bytes", "6000000\n"},
        {"sys/fs/cgroup/memory/m/memory.usage_in_bytes", "2000000\n"},
        {"sys/fs/cgroup/memory/m/memory.stat",
         "inactive_file 9\ntotal_inactive_file 500000\ntotal_active_file 100\n"}});
  EXPECT_EQ(free_memory(system.path()), 4500100);
}

TEST(FreeMemory, OfThisMachineIsSome) {
  const auto left = free_memory();
  ASSERT_TRUE(left.has_value());
  EXPECT_GT(*left, 0);
}

}  // namespace
}  // namespace espalier::detail
