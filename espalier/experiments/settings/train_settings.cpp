// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/settings/train_settings.h>

#include <set>

namespace espalier::experiments {
namespace {

constexpr double kMost = 1e9;

}  // namespace

const OptionTable<TrainingSettings>& training_table() {
  using S = TrainingSettings;
  using Entry = OptionEntry<S>;
  static const OptionTable<S> table = {
      {&S::train_size,
       "train-size",
       {0, kMost},
       "",
       "train on a fixed subset, drawn by --seed; 0: the whole split"},
      {&S::validation, "validation", {0, 0.9}, "", "share of --train-size held out, by class"},
      Entry(
          &S::early_stop, "early-stop", {0, kMost}, "epochs", "without better validation; 0: never")
          .needing_other_than("validation", {"0"}),
      {&S::epochs, "epochs", {0, 100000}, "", "passes over the training split"},
      {&S::batch, "batch", {1, 65536}, "", "samples a step"},
      {&S::drop_last, "drop-last", "leave out an epoch's last batch if it is smaller"},
      {&S::optimizer,
       "optimizer",
       {"sgd", "adam", "adamw", "muon", "rmsprop", "adagrad"},
       "the rule"},
      {&S::lr, "lr", {0, 1e3}, "", "learning rate; with a schedule its highest"},
      Entry(&S::momentum, "momentum", {0, 1}, "", "of sgd and muon")
          .needing("optimizer", {"sgd", "muon"}),
      Entry(&S::nesterov, "nesterov", "Nesterov's form of momentum").needing("optimizer", {"sgd"}),
      {&S::lookahead, "lookahead", {0, kMost}, "steps", "how often slow weights follow; 0: none"},
      {&S::weight_decay, "weight-decay", {0, 10}, "", "weight decay"},
      {&S::no_decay_1d, "no-decay-1d", "no weight decay of biases and norms"},
      {&S::schedule,
       "schedule",
       {"onecycle", "cosine", "multistep", "step", "constant"},
       "how the learning rate moves"},
      {&S::warmup, "warmup", {0, 1000}, "epochs", "the rate first rises from 0 for so long"},
      Entry(
          &S::milestones, "milestones", "of multistep: where the rate falls, fractions of training")
          .needing("schedule", {"multistep"}),
      Entry(&S::step_every, "step-every", {1, 100000}, "epochs", "of step: how often it falls")
          .needing("schedule", {"step"}),
      Entry(&S::gamma, "gamma", {0, 1}, "", "of step and multistep: the factor")
          .needing("schedule", {"step", "multistep"}),
      {&S::label_smoothing,
       "label-smoothing",
       {0, 1},
       "",
       "share of the label given to all classes"},
      {&S::quantize,
       "quantize",
       {"none", "int8"},
       "train with weights and activations rounded to 8 bits"},
      Entry(&S::quantize_freeze,
            "quantize-freeze",
            {0, 1},
            "fraction of training",
            "ranges stand still from here")
          .needing("quantize", {"int8"}),
      Entry(&S::distill_temperature,
            "distill-temperature",
            {1e-3, 1e6},
            "",
            "how soft the teacher's answers are")
          .needing_other_than("distill-from", {""}),
      Entry(&S::distill_weight,
            "distill-weight",
            {0, 1},
            "",
            "the teacher's share of the loss; labels have the rest")
          .needing_other_than("distill-from", {""}),
      {&S::clip_norm, "clip-norm", {0, kMost}, "", "largest norm of the gradient; 0: off"},
      {&S::saved, "saved", {"float32", "bfloat16"}, kSavedHelp},
      {&S::augment, "augment", "of images, by comma; `espalier train --augment help` lists them"},
      {&S::seed, "seed", {0, kMost}, "", "of initial weights, order, augmentation, --train-size"},
  };
  return table;
}

const OptionTable<RunSettings>& run_table() {
  using S = RunSettings;
  using Entry = OptionEntry<S>;
  static const OptionTable<S> table = {
      {&S::weights, "weights", "start from this file, safetensors or .edc; else random weights"},
      Entry(&S::masks_from_zeros, "masks-from-zeros", kMasksFromZerosHelp)
          .needing_other_than("weights", {""}),
      {&S::distill_from, "distill-from", "a trained network whose answers are learned too"},
      {&S::prune, "prune", "the pruning method; `espalier methods` lists them"},
      {&S::mask_from, "mask-from", "train under the masks of this file, perhaps on other data"},
      {&S::elastic,
       "elastic",
       {"none", "interpolate", "append"},
       "files of another depth: blocks repeat as 1122, or as 1212"},
      Entry(&S::scoring_input,
            "scoring-input",
            {"data", "noise"},
            "what scores see: training images, or noise (a control)")
          .needing_other_than("prune", {""}),
      {&S::out, "out", "the run's folder; else runs/ and a name of its settings"},
      {&S::checkpoint_every,
       "checkpoint-every",
       {0, kMost},
       "steps",
       "also save within epochs; 0: at their ends"},
      {&S::allow_other_simd,
       "allow-other-simd",
       "continue a run of other vector instructions, whose last bits differ"},
      {&S::ignore_memory, "ignore-memory", "train though a step needs more memory than is free"},
  };
  return table;
}

const OptionTable<TrainSettings>& test_size_table() {
  using S = TrainSettings;
  static const OptionTable<S> table = {{&S::test_size, "test-size", {0, kMost}, "", kTestSizeHelp}};
  return table;
}

const OptionTable<TrainSettings>& train_table() {
  using S = TrainSettings;
  static const OptionTable<S> table =
      OptionTable<S>()
          .include(&S::network, network_table())
          .include(&S::data, data_table())
          .add({&S::test_size, "test-size", {0, kMost}, "", kTestSizeHelp})
          .include(&S::training, training_table())
          .include(&S::run, run_table())
          .include(&S::normalization, normalization_table())
          .include(&S::machine, machine_table())
          .include(&S::kernels, kernel_table());
  return table;
}

bool is_incidental(const std::string& option) {
  static const std::set<std::string> kNames = {"threads",
                                               "workers",
                                               "data-root",
                                               "out",
                                               "checkpoint-every",
                                               "allow-other-simd",
                                               "ignore-memory",
                                               "weights",
                                               "mask-from",
                                               "distill-from",
                                               "kernel-times",
                                               "require-sparse"};
  return kNames.contains(option);
}

}  // namespace espalier::experiments
