// SPDX-License-Identifier: Apache-2.0
/// CsvLog: the numbers of every epoch in a file.
#pragma once

#include <filesystem>
#include <vector>

#include <espalier/nn/train/hooks/watched.h>

namespace espalier::nn {

/// Writes a line an epoch: `epoch` (from 1), `step` (all that were done), `lr` (of the epoch's last
/// step), `loss`, `accuracy`, and a column for each number that is watched besides. Numbers have as
/// many digits as it takes to read the same ones again, whatever the locale. The file is replaced
/// atomically; what it holds is the hook's state, so that after a kill it has no line twice.
class CsvLog : public TrainHook {
 public:
  /// Throws ValueError for an empty name and for columns that are there already.
  explicit CsvLog(std::filesystem::path file, std::vector<Watched> columns = {});
  /// What stands in the file.
  const std::string& text() const { return text_; }

  void before_training(TrainState& state) override;
  void end_of_epoch(TrainState& state) override;
  std::map<std::string, Tensor> state() const override;
  void load_state(const std::map<std::string, Tensor>& state) override;

 private:
  std::filesystem::path file_;
  std::vector<Watched> columns_;
  std::string text_;
};

}  // namespace espalier::nn
