// SPDX-License-Identifier: Apache-2.0
/// A small training for tests of what fit() does, and its checkpoints.
#pragma once

#include <memory>
#include <vector>

#include <espalier/autograd/ops.h>
#include <espalier/nn/train/checkpoint.h>
#include <espalier/nn/train/sgd.h>

#include "support.h"

namespace espalier::nn {

// 40 samples in batches of 16: two whole ones and a short one.
inline constexpr int64_t kSamples = 40;
inline constexpr int64_t kStepsPerEpoch = 3;

inline data::LoaderOptions loader_options() {
  return {.batch_size = 16,
          .shuffle = true,
          .augmentation = {.crop_padding = 1, .horizontal_flip = true},
          .seed = 5,
          .workers = 0};
}

/// A complete training, ready to start.
struct Training {
  std::unique_ptr<Sequential> model = tiny_net();
  Sgd optimizer{*model, {.momentum = 0.9}, 0.001};
  CosineLr schedule{0.05};
  data::Loader loader{stripes(kSamples), loader_options()};

  FitResult run(const std::vector<TrainHook*>& hooks = {}, FitOptions options = {.epochs = 3}) {
    return fit(*model, optimizer, schedule, loader, hooks, options);
  }
};

/// Takes a checkpoint, with all hooks of the training, at every moment at which one may be taken.
struct Camera : TrainHook {
  void after_step(TrainState& s) override { shoot(s); }
  void end_of_epoch(TrainState& s) override { shoot(s); }
  std::vector<SafetensorsFile> shots;

 private:
  void shoot(TrainState& s) {
    shots.push_back(take_checkpoint({s.model, s.optimizer, *s.hooks}, s.progress));
    shots.back().tensors = deep_copy(shots.back().tensors);
  }
};

}  // namespace espalier::nn
