// SPDX-License-Identifier: Apache-2.0
/// Threads follow what the process may use: made-up control groups, and the real affinity mask.
#include <sched.h>

#include <thread>

#include <gtest/gtest.h>

#include <espalier/core/detail/processors.h>
#include <espalier/core/parallel.h>
#include <espalier/core/tests/temporary_folder.h>

namespace espalier::detail {
namespace {

using espalier::testing::TemporaryFolder;

// A system below `folder`: files by path.
void make(const TemporaryFolder& folder,
          const std::vector<std::pair<std::string, std::string>>& files) {
  for (const auto& [path, text] : files) {
    std::filesystem::create_directories((folder / path).parent_path());
    folder.write(path, text);
  }
}

constexpr const char* kMountV2 =
    "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
    "29 22 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

TEST(Quota, OfVersionTwoIsTheSmallestOfTheGroupAndThoseAboveIt) {
  const TemporaryFolder system;
  make(system,
       {{"proc/self/cgroup", "0::/user.slice/job\n"},
        {"proc/self/mountinfo", kMountV2},
        {"sys/fs/cgroup/user.slice/cpu.max", "150000 100000\n"},
        {"sys/fs/cgroup/user.slice/job/cpu.max", "max 100000\n"}});
  EXPECT_EQ(quota_of_group(system.path()), 1.5);
  make(system, {{"sys/fs/cgroup/user.slice/job/cpu.max", "25000 50000\n"}});
  EXPECT_EQ(quota_of_group(system.path()), 0.5);
}

TEST(Quota, OfVersionOneIsReadWhereTheProcessorControllerIsMounted) {
  const TemporaryFolder system;
  make(system,
       {{"proc/self/cgroup", "5:memory:/m\n4:cpu,cpuacct:/job\n1:name=systemd:/x\n"},
        {"proc/self/mountinfo",
         "30 22 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
         "31 22 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"},
        {"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n"},
        {"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"},
        {"sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "300000\n"},
        {"sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "100000\n"}});
  EXPECT_EQ(quota_of_group(system.path()), 3.0);
}

TEST(Quota, InsideOfAContainerTheGroupIsTheMount) {
  const TemporaryFolder system;
  make(system,
       {{"proc/self/cgroup", "3:cpu:/docker/abc\n"},
        {"proc/self/mountinfo",
         "31 22 0:28 /docker/abc /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n"},
        {"sys/fs/cgroup/cpu/cpu.cfs_quota_us", "200000\n"},
        {"sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"}});
  EXPECT_EQ(quota_of_group(system.path()), 2.0);
}

TEST(Quota, IsNoneWithoutGroupsAndForFilesThatAreNone) {
  const TemporaryFolder system;
  EXPECT_FALSE(quota_of_group(system.path()).has_value());
  make(system, {{"proc/self/cgroup", "0::/\n"}, {"proc/self/mountinfo", kMountV2}});
  EXPECT_FALSE(quota_of_group(system.path()).has_value());
  for (const char* text : {"", "max 100000\n", "0 100000\n", "many\n", "100000\n", "100000 0\n"}) {
    make(system, {{"sys/fs/cgroup/cpu.max", text}});
    EXPECT_FALSE(quota_of_group(system.path()).has_value()) << text;
  }
}

TEST(Threads, FollowTheAffinityMask) {
  // In a thread of its own: masks are those of threads.
  std::thread([] {
    cpu_set_t allowed;
    ASSERT_EQ(::sched_getaffinity(0, sizeof allowed, &allowed), 0);
    cpu_set_t one;
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE; ++i) {
      if (CPU_ISSET(i, &allowed) && CPU_COUNT(&one) == 0) CPU_SET(i, &one);
    }
    EXPECT_EQ(processors_of_affinity(), CPU_COUNT(&allowed));
    ASSERT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
    EXPECT_EQ(processors_of_affinity(), 1);
    EXPECT_EQ(available_processors(), 1);
    const int before = num_threads();
    set_num_threads(0);
    EXPECT_EQ(num_threads(), 1);
    set_num_threads(before);
    ::sched_setaffinity(0, sizeof allowed, &allowed);
  }).join();
}

}  // namespace
}  // namespace espalier::detail
