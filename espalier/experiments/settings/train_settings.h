// SPDX-License-Identifier: Apache-2.0
/// All settings of `train`, besides those of pruning methods.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <espalier/autograd/packed.h>
#include <espalier/core/options/table.h>
#include <espalier/experiments/settings/parts.h>

namespace espalier::experiments {

/// How weights are updated.
enum class OptimizerKind : uint8_t { Sgd, Adam, AdamW, Muon, RmsProp, Adagrad };
/// How the learning rate moves.
enum class ScheduleKind : uint8_t { OneCycle, Cosine, MultiStep, Step, Constant };
/// In what a network computes.
enum class Precision : uint8_t { Float32, Int8 };

/// How `train` trains.
struct TrainingSettings {
  int64_t train_size = 0;   ///< samples, 0: all
  double validation = 0.0;  ///< share of the training samples held out, 0: none
  int64_t early_stop = 0;   ///< epochs without a better held-out accuracy, 0: never
  int64_t epochs = 30;      ///< passes over the training split
  int64_t batch = 128;      ///< samples a step
  bool drop_last = false;   ///< leave out a smaller last batch
  OptimizerKind optimizer = OptimizerKind::Sgd;
  double lr = 0.1;        ///< with a schedule its highest
  double momentum = 0.9;  ///< of Sgd and Muon
  bool nesterov = false;  ///< of Sgd
  int64_t lookahead = 0;  ///< steps between looks at slow weights, 0: none
  double weight_decay = 5e-4;
  bool no_decay_1d = false;  ///< none of biases and norms
  ScheduleKind schedule = ScheduleKind::OneCycle;
  double warmup = 0.0;                  ///< epochs
  std::string milestones = "0.5,0.75";  ///< of MultiStep, fractions of training
  int64_t step_every = 10;              ///< of Step, epochs
  double gamma = 0.1;                   ///< of Step and MultiStep
  double label_smoothing = 0.0;
  Precision quantize = Precision::Float32;
  /// Of Int8, fraction of training. Half: most of the usual schedule's fall comes after it, so
  /// weights settle on ranges that stay.
  double quantize_freeze = 0.5;
  double distill_temperature = 4.0;
  double distill_weight = 0.9;         ///< the teacher's share of the loss
  double clip_norm = 0.0;              ///< 0: off
  SavedAs saved = SavedAs::AsTheyAre;  ///< what backward needs of activations
  std::string augment = "standard";    ///< random changes of images, data/augment/list.h
  int64_t seed = 0;
};
/// `train-size` to `seed`.
const OptionTable<TrainingSettings>& training_table();

/// How blocks of a network of another depth are taken over.
enum class Elastic : uint8_t { None, Interpolate, Append };
/// What methods that score from data see.
enum class ScoringInput : uint8_t { Data, Noise };

/// Where a training starts from and writes to, and which method prunes.
struct RunSettings {
  std::string weights = {};  ///< a file; empty: random weights
  bool masks_from_zeros = false;
  std::string distill_from = {};  ///< a file; empty: no teacher
  std::string prune = {};         ///< a method's name; empty: none prunes
  std::string mask_from = {};     ///< a file; empty: no masks
  Elastic elastic = Elastic::None;
  ScoringInput scoring_input = ScoringInput::Data;
  std::string out = {};          ///< the run's folder; empty: named by the settings
  int64_t checkpoint_every = 0;  ///< steps; 0: at the ends of epochs
  bool allow_other_simd = false;
  bool ignore_memory = false;  ///< steps may need more than is free
};
/// `weights` to `ignore-memory`.
const OptionTable<RunSettings>& run_table();

/// All that `train` has besides the options of pruning methods.
struct TrainSettings {
  NetworkSettings network = {};
  DataSettings data = {};
  int64_t test_size = 0;  ///< samples, 0: all
  TrainingSettings training = {};
  RunSettings run = {};
  Normalization normalization = {};
  MachineSettings machine = {};
  KernelSettings kernels = {};
};
/// All of the above in the order of run.json.
const OptionTable<TrainSettings>& train_table();
/// `test-size` alone.
const OptionTable<TrainSettings>& test_size_table();

/// True for settings that can't change what a run computes: threads, places, checkpoints. They may
/// differ when a run is continued.
bool is_incidental(const std::string& option);

}  // namespace espalier::experiments
