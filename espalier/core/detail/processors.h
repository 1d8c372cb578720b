// SPDX-License-Identifier: Apache-2.0
/// How many processors this process may use, which is not how many the machine has.
#pragma once

#include <filesystem>
#include <optional>

namespace espalier::detail {

/// Processors in the affinity mask of the calling thread (taskset, docker --cpuset-cpus).
int processors_of_affinity();

/// The processors' worth of time that the control group of this process and those above it allow,
/// of version 1 (cpu.cfs_quota_us) or 2 (cpu.max); nothing without a quota. `root` stands before
/// all paths that are read.
std::optional<double> quota_of_group(const std::filesystem::path& root = "/");

/// The smaller of both, the quota rounded up; at least 1.
int available_processors();

}  // namespace espalier::detail
