// SPDX-License-Identifier: Apache-2.0
/// The parts of a training, made from its settings.
#pragma once

#include <memory>

#include <espalier/data/loader.h>
#include <espalier/experiments/settings/train_settings.h>
#include <espalier/nn/train/lr_schedule.h>
#include <espalier/nn/train/optimizer.h>

namespace espalier::experiments {

/// Shuffled, augmented batches of a training split.
data::LoaderOptions training_loader(const TrainSettings& settings, const data::Dataset& dataset);
/// The optimizer for all parameters of `model`.
std::unique_ptr<nn::Optimizer> make_optimizer(const TrainingSettings& settings, nn::Module& model);
/// The schedule for a training of `steps_per_epoch` steps an epoch. Throws ValueError for
/// milestones that are no increasing fractions.
std::shared_ptr<const nn::LrSchedule> make_schedule(const TrainingSettings& settings,
                                                    int64_t steps_per_epoch);

}  // namespace espalier::experiments
