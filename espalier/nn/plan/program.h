// SPDX-License-Identifier: Apache-2.0
/// The inside of an InferencePlan: graph, kernels, memory plan, and the pool of workspaces. Not a
/// public interface.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include <espalier/nn/plan/kernels/kernel.h>
#include <espalier/nn/plan/plan.h>
#include <espalier/nn/plan/planes/kernel.h>

namespace espalier::nn {

namespace plan {

/// What one call needs: memory for the values and for the scratch of its tasks, in either layout.
struct Workspace {
  Tensor arena;
  Tensor scratch;
  int64_t slots;
};

/// Memory of a call.
struct Call {
  const float* x;
  Layout x_layout;
  int64_t samples;
  float* y;
  Layout y_layout;
};

/// A part of a call, in blocks of 16 samples, and of a workspace: the floats of its values, and the
/// scratches of as many tasks as it runs at a time.
struct LanesPart {
  int64_t first, blocks;
  float *arena, *scratch;
  int64_t slots;
};

}  // namespace plan

struct InferencePlan::Program {
  /// Makes kernels and memory of a graph whose formats are chosen. Throws ShapeError or ValueError
  /// for a graph that cannot be run.
  Program(plan::Graph graph, int64_t batch);

  /// Borrows a workspace for one call.
  std::unique_ptr<plan::Workspace> take() const;
  void give_back(std::unique_ptr<plan::Workspace> workspace) const;
  std::unique_ptr<plan::Workspace> make_workspace() const;
  /// Floats of a workspace's arena and scratch, for so many slots.
  int64_t arena_floats(int64_t slots) const;
  int64_t scratch_floats(int64_t slots) const;
  /// Samples in planes that a workspace has memory for at once.
  int64_t arenas(int64_t slots) const;

  plan::Graph graph;
  int64_t batch;
  bool in_planes = false;  ///< samples run in planes only
  /// What a sample takes a thread by count (layout_time.cpp), among many; 0 where gates decide.
  double seconds_in_lanes = 0.0, seconds_in_planes = 0.0;
  int64_t blocks;  ///< of 16 samples, at once
  plan::MemoryPlan memory;
  std::vector<std::unique_ptr<plan::Kernel>> kernels;  ///< none if in planes
  int64_t task_floats = 0;                             ///< scratch of a task
  int64_t shared_floats = 0;                           ///< of all tasks of a step together
  int64_t macs = 0;                                    ///< of a sample; at most, with gates
  size_t kept = 0;                                     ///< steps that a thread runs block by block
  std::vector<int> crossing;                           ///< values between these and the others
  // For few samples, one at a time, and in planes only, a group of them side by side:
  int64_t group = 1;  ///< samples side by side; without gates one for each slot
  plan::MemoryPlan planes_memory;
  std::vector<std::unique_ptr<plan::PlanesKernel>> planes_kernels;
  int64_t planes_scratch = 0;  ///< floats, of all tasks of a sample together

  /// The memory of sample `index` of a group. `slots`: tasks of it at a time.
  plan::PlanesRun planes_run(plan::Workspace& workspace, int64_t index, int64_t slots) const;
  /// All steps, of all samples of a call, sixteen together; returns the multiply-accumulates that
  /// they executed.
  int64_t run_lanes(plan::Workspace& workspace, const plan::Call& call) const;
  /// All steps, of all samples of a call, each in planes; returns the same.
  int64_t run_in_planes(plan::Workspace& workspace, const plan::Call& call) const;
  /// All steps, of one sample or a group; returns the same.
  int64_t run_planes(std::span<const plan::PlanesRun> runs) const;

 private:
  int64_t planes_arena() const;  ///< floats of a sample
  /// Samples of a call and the arenas from `place` on that are theirs; `slots` of each.
  struct Group {
    int64_t first, count, place, slots;
  };
  int64_t run_group(plan::Workspace& workspace, const plan::Call& call, const Group& group) const;
  /// What a step takes one thread for one of many samples.
  void choose_layout();
  double lanes_seconds(size_t step) const;
  double planes_seconds(size_t step) const;
  /// Steps first .. last - 1.
  struct Range {
    size_t first, last;
  };
  /// Some steps of a part of a call; the first brings the input, the last takes the output.
  int64_t run_part(const plan::Call& call, const plan::LanesPart& part, const Range& range) const;
  /// How many of the first steps a thread runs block by block.
  size_t kept_steps() const;
  /// Values, one of each storage, that steps before `step` make and steps from there on read.
  std::vector<int> crossing_values(size_t step) const;
  /// Their copies from the memory of one block to that of several, where it is `block`.
  void copy_crossing(const float* one, int64_t block, const plan::LanesPart& to) const;

  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<plan::Workspace>> free_;
};

}  // namespace espalier::nn
