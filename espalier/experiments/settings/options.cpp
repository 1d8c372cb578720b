// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/settings/options.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <set>

#include <nlohmann/json.hpp>

#include <espalier/core/error.h>
#include <espalier/nn/models/registry.h>

namespace espalier::experiments {
namespace {

constexpr double kMost = 1e9;

std::vector<Option> joined(std::initializer_list<std::vector<Option>> lists) {
  std::vector<Option> out;
  for (const std::vector<Option>& list : lists) out.insert(out.end(), list.begin(), list.end());
  return out;
}

}  // namespace

std::vector<Option> model_options() {
  std::string names;
  for (const nn::ModelInfo& info : nn::model_list()) {
    if (info.input == nn::InputKind::Images) names += (names.empty() ? "" : ", ") + info.name;
  }
  return {
      text_option("model", "resnet20", "The network, one of the zoo: " + names + "."),
      choice_option("shortcut", {"A", "B"}, "How CIFAR ResNets pass on where channels change."),
      real_option("width",
                  1.0,
                  0.01,
                  64,
                  "",
                  "Multiplies the hidden channels of VGG, ResNet, WRN and MobileNetV2; "
                  "others have one width."),
  };
}

std::vector<Option> data_set_options() {
  return {
      text_option(
          "data",
          "synth",
          "The data set: synth, cifar10, cifar100, svhn, svhn+extra, mnist, fashion, folder:PATH."),
      text_option("data-root",
                  default_data_root(),
                  "Folder of the data sets; also the environment variable ESPALIER_DATA."),
      integer_option("data-seed",
                     0,
                     0,
                     kMost,
                     "",
                     "Which pictures synth draws; of every data set, which subset "
                     "--test-size takes."),
      flag_option("allow-empty-classes", "Of folder:PATH: a class without pictures is no error."),
      flag_option("other-classes",
                  "Weights that were trained for classes of other names, or in another "
                  "order, are no error."),
  };
}

std::vector<Option> data_options() {
  return joined({data_set_options(),
                 {integer_option("test-size",
                                 0,
                                 0,
                                 kMost,
                                 "samples",
                                 "Test on a fixed subset, of --data-seed; 0 = the whole "
                                 "split.")}});
}

std::vector<Option> normalization_options() {
  return {
      text_option("mean",
                  "",
                  "Normalization of weights trained elsewhere: mean of pixels / 255 by "
                  "channel, r,g,b. Without: the data set's."),
      text_option("std", "", "Their standard deviation, r,g,b."),
  };
}

std::vector<Option> machine_options() {
  return {
      integer_option("threads",
                     0,
                     0,
                     1024,
                     "",
                     "Threads of the kernels; 0 = all. Results don't depend on it."),
      integer_option("workers", 1, 0, 64, "", "Threads that prepare batches."),
  };
}

std::vector<Option> kernel_options() {
  return {
      choice_option("kernels",
                    {"rule", "measured"},
                    "How a masked layer's kernel is chosen: by the built-in rule (the same "
                    "bits everywhere), or by timing both here once per shape and density."),
      text_option("kernel-times",
                  "",
                  "The file of measured times; without: kernels.json in the run folder of "
                  "train, and none elsewhere."),
      flag_option("require-sparse", "A masked layer that would run densely is an error."),
      choice_option("dense",
                    {"auto", "direct", "winograd2", "winograd4"},
                    "How dense 3x3 convolutions are computed: directly, by Winograd's "
                    "F(2x2,3x3), by F(4x4,3x3), or by the fastest of them by the shape."),
  };
}

Option masks_from_zeros_option() {
  return flag_option("masks-from-zeros",
                     "Weights that are zero in the file and have no mask, as after pruning "
                     "elsewhere, get one: they stay zero and cost nothing.");
}

std::vector<Option> training_options() {
  return {
      integer_option("train-size",
                     0,
                     0,
                     kMost,
                     "samples",
                     "Train on a fixed subset, of --seed; 0 = the whole split."),
      integer_option("epochs", 30, 0, 100000, "", "Passes over the training split."),
      integer_option("batch", 128, 1, 65536, "samples", "Samples a step."),
      flag_option("drop-last", "Leave out a last batch of an epoch that is smaller."),
      choice_option("optimizer", {"sgd", "adam", "adamw"}, "How weights are updated."),
      real_option("lr", 0.1, 0, 1e3, "", "Learning rate; with a schedule its highest."),
      real_option("momentum", 0.9, 0, 1, "", "Momentum of sgd."),
      flag_option("nesterov", "Nesterov's form of momentum."),
      real_option("weight-decay", 5e-4, 0, 10, "", "Weight decay."),
      flag_option("no-decay-1d", "No weight decay of biases and norms."),
      choice_option("schedule",
                    {"onecycle", "cosine", "multistep", "step", "constant"},
                    "How the learning rate moves."),
      real_option("warmup", 0, 0, 1000, "epochs", "The rate first rises from 0 for so long."),
      text_option(
          "milestones", "0.5,0.75", "Of multistep: where the rate falls, fractions of training."),
      integer_option("step-every", 10, 1, 100000, "epochs", "Of step: how often it falls."),
      real_option("gamma", 0.1, 0, 1, "", "Of step and multistep: the factor."),
      real_option("label-smoothing", 0, 0, 1, "", "Share of the label given to all classes."),
      choice_option("quantize",
                    {"none", "int8"},
                    "Train with weights and activations rounded to 8 bits; the network then "
                    "computes in integers."),
      // Half: most of the usual schedule's fall comes after it, so weights settle on ranges that
      // stay.
      real_option("quantize-freeze",
                  0.5,
                  0,
                  1,
                  "fraction of training",
                  "With --quantize: ranges of activations stand still from here on."),
      real_option("distill-temperature",
                  4,
                  1e-3,
                  1e6,
                  "",
                  "With --distill-from: how soft the teacher's answers are."),
      real_option("distill-weight",
                  0.9,
                  0,
                  1,
                  "",
                  "With --distill-from: the teacher's share of the loss; labels have the "
                  "rest."),
      real_option("clip-norm", 0, 0, kMost, "", "Largest norm of the gradient; 0 = off."),
      choice_option("augment",
                    {"standard", "none", "standard+cutout"},
                    "Changes of training images: crop by 4 with padding; mirror where that "
                    "keeps the class; cutout of 8 (tiny images) or 16 pixels."),
      integer_option("seed",
                     0,
                     0,
                     kMost,
                     "",
                     "Of initial weights, order, augmentation, and the subset of --train-size."),
  };
}

std::vector<Option> run_options() {
  return {
      text_option(
          "weights", "", "Start from this file, safetensors or .edc, instead of random weights."),
      masks_from_zeros_option(),
      text_option("distill-from",
                  "",
                  "A trained network whose answers are learned too (distillation); one of "
                  "ours, or weights that fit --model."),
      text_option("prune", "", "The pruning method; `espalier methods` lists them."),
      text_option("mask-from",
                  "",
                  "Train under the masks of this file, such as model.safetensors of a "
                  "pruned run, perhaps on other data; not with --prune."),
      choice_option("elastic",
                    {"none", "interpolate", "append"},
                    "--weights and --mask-from are of another depth of a residual network: "
                    "whole blocks are repeated (1 1 2 2, or 1 2 1 2) or left out. Weights are "
                    "meant to be initial ones."),
      choice_option("scoring-input",
                    {"data", "noise"},
                    "What methods that score from data see: the training split, or random "
                    "images and labels (a control)."),
      text_option("out", "", "The run's folder. Without: runs/ and a name of its settings."),
      integer_option(
          "checkpoint-every", 0, 0, kMost, "steps", "Also save within epochs; 0 = at their ends."),
      flag_option("allow-other-simd",
                  "Continue a run although it was begun with other vector instructions, "
                  "with which last bits differ."),
  };
}

std::vector<Option> train_options() {
  return joined({model_options(),
                 data_options(),
                 training_options(),
                 run_options(),
                 normalization_options(),
                 machine_options(),
                 kernel_options()});
}

bool is_incidental(const std::string& option) {
  static const std::set<std::string> kNames = {"threads",
                                               "workers",
                                               "data-root",
                                               "out",
                                               "checkpoint-every",
                                               "allow-other-simd",
                                               "weights",
                                               "mask-from",
                                               "distill-from",
                                               "kernel-times",
                                               "require-sparse"};
  return kNames.contains(option);
}

nlohmann::ordered_json to_json(const std::vector<Option>& options, const OptionTexts& texts) {
  nlohmann::ordered_json out = nlohmann::ordered_json::object();
  for (const Option& option : options) {
    const std::string& text = texts.at(option.name);
    if (option.kind == OptionKind::Choice || option.kind == OptionKind::Text) {
      out[option.name] = text;
    } else if (text.empty()) {
      out[option.name] = nullptr;
    } else if (option.kind == OptionKind::Real) {
      out[option.name] = espalier::detail::real_of_text(text);
    } else if (option.kind == OptionKind::Integer) {
      out[option.name] = espalier::detail::integer_of_text(text);
    } else {
      out[option.name] = text == "true";
    }
  }
  return out;
}

nlohmann::ordered_json to_json(const prune::MethodChoice& choice) {
  return to_json(method_options(choice.method->name), choice.texts());
}

nlohmann::ordered_json to_json(const OptionValues& values) {
  return to_json(values.declared(), values.texts());
}

std::string default_data_root() {
  const char* root = std::getenv("ESPALIER_DATA");
  return root != nullptr && *root != '\0' ? root : "data";
}

std::vector<double> parse_numbers(const std::string& option, const std::string& text) {
  std::vector<double> out;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end) {
    double value = 0.0;
    const auto [next, error] = std::from_chars(at, end, value);
    ESPALIER_CHECK(error == std::errc{} && std::isfinite(value) &&
                       (next == end || (*next == ',' && next + 1 != end)),
                   ValueError,
                   "option ",
                   option,
                   " expects numbers separated by commas, got '",
                   text,
                   "'");
    out.push_back(value);
    at = next == end ? end : next + 1;
  }
  return out;
}

}  // namespace espalier::experiments
