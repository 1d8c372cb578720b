// SPDX-License-Identifier: Apache-2.0
/// How much memory a step of training will take, before the first one.
#pragma once

#include <cstdint>
#include <limits>

#include <espalier/nn/train/optimizer.h>

namespace espalier::nn {

/// Bytes of tensors, as the pool of core/storage.h counts them.
struct TrainingMemory {
  int64_t parameters = 0;   ///< values, masks and buffers
  int64_t optimizer = 0;    ///< what it keeps of them
  int64_t activations = 0;  ///< the batch, and what forward leaves for backward
  /// The most that the step makes and holds at once: activations, their gradients, those of the
  /// parameters, workspaces.
  int64_t step = 0;
  /// What the pool asks of the system for that: blocks of every size that were in use at a time.
  int64_t pooled = 0;

  /// The most that is in use at once.
  int64_t in_use() const { return parameters + optimizer + step; }
  /// What the machine has to have.
  int64_t needed() const { return parameters + optimizer + pooled; }
};

/// Foretells a step of `optimizer` on `batch` samples, each of the shape `sample`, (C,H,W) of
/// images or (T) of a text, in the layout of training: forward, cross-entropy, backward, update.
///
/// How: a copy of the model takes such a step for the sixteen samples that lie in the lanes
/// together and for up to four times as many (of texts: one and up to four), and each tensor that
/// they make is scaled to the batch by the difference. So no trial takes more than the step that it
/// foretells, and what an op saves is what it saves, not a table of it.
///
/// Trials take at most about `room` bytes. Where even one would take more, the result is the least
/// that the step takes, the outputs of its layers with weights, which is more than `room`; where
/// the second would, all of the first is taken to go by the batch.
///
/// Ops keep their values for backward as this thread keeps them now (SavedAsScope).
///
/// Not in it: kernels' memory that is no tensor, other losses than
/// cross-entropy, penalties, the batches that a loader prepares. Nothing of the model changes.
/// Throws ValueError for a batch below 1.
TrainingMemory training_memory(Module& model,
                               const Optimizer& optimizer,
                               const Shape& sample,
                               int64_t batch,
                               int64_t room = std::numeric_limits<int64_t>::max());

}  // namespace espalier::nn
