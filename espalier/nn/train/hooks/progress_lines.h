// SPDX-License-Identifier: Apache-2.0
/// ProgressLines: tells how training goes, to whom the caller names. The library prints nothing by
/// itself.
#pragma once

#include <functional>
#include <iosfwd>
#include <vector>

#include <espalier/nn/train/hooks/watched.h>

namespace espalier::nn {

/// Makes a line at the end of every epoch, and every so many steps within:
///
///     epoch 2/10  step 80/400  lr 0.05  loss 1.2345  accuracy 0.5678  validation_loss 1.1111
///
/// Numbers of the epoch so far; what is watched besides is told at its end. Has no state.
class ProgressLines : public TrainHook {
 public:
  /// Gets each line, without a line end.
  using Receiver = std::function<void(const std::string& line)>;
  /// Calls `receiver`; `every_steps` 0: at the ends of epochs alone. Throws ValueError for a
  /// negative number.
  explicit ProgressLines(Receiver receiver,
                         std::vector<Watched> watched = {},
                         int64_t every_steps = 0);
  /// Writes to a stream, which must outlive it, and flushes it.
  explicit ProgressLines(std::ostream& stream,
                         std::vector<Watched> watched = {},
                         int64_t every_steps = 0);

  void after_step(TrainState& state) override;
  void end_of_epoch(TrainState& state) override;

 private:
  Receiver receiver_;
  std::vector<Watched> watched_;
  int64_t every_steps_;
};

}  // namespace espalier::nn
