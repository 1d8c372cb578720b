// SPDX-License-Identifier: Apache-2.0
/// AllocationLog: which tensors a piece of work makes and frees, and how large they are. What is
/// known of it for two sizes of a batch tells what any size will take.
#pragma once

#include <cstdint>
#include <vector>

namespace espalier {

/// The memory of a tensor was made or freed.
struct AllocationEvent {
  int64_t block = 0;       ///< numbered from 0 in the order in which they were made
  int64_t nbytes = 0;      ///< as asked for; -1: freed
  bool workspace = false;  ///< made for the time of a kernel's call
  /// Made by a task of a parallel loop: every other thread has one like it at that time.
  bool of_each_thread = false;
};

/// While it lives, what this thread makes is a kernel's workspace, which is gone when it returns.
class WorkspaceScope {
 public:
  WorkspaceScope();
  ~WorkspaceScope();
  WorkspaceScope(const WorkspaceScope&) = delete;
  WorkspaceScope& operator=(const WorkspaceScope&) = delete;

 private:
  bool outer_;
};

/// While it lives, notes what this thread makes, and frees of that. Of several the newest one
/// listens. Memory of kernels that is no tensor, and what other threads make, is not noted.
class AllocationLog {
 public:
  /// Starts to listen.
  AllocationLog();
  ~AllocationLog();
  AllocationLog(const AllocationLog&) = delete;
  AllocationLog& operator=(const AllocationLog&) = delete;

  /// So far.
  const std::vector<AllocationEvent>& events() const { return events_; }

 private:
  friend class Storage;
  /// Returns the mark by which the block is known when it is freed.
  int64_t note_made(int64_t nbytes);
  void note_freed(int64_t mark);

  AllocationLog* outer_;
  std::vector<int64_t> marks_;  // of the blocks, ascending
  std::vector<AllocationEvent> events_;
};

}  // namespace espalier
