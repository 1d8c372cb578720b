// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/settings/parts.h>

#include <charconv>
#include <cmath>
#include <cstdlib>

#include <espalier/core/error.h>
#include <espalier/data/resized.h>

namespace espalier::experiments {

namespace {

constexpr double kMost = 1e9;
constexpr const char* kStemHelp = "of ResNet-18/34/50, MobileNetV2: for 32x32 or 224x224 images";

}  // namespace

std::string model_help() {
  return "the network; `espalier models` lists them";
}

const OptionTable<NetworkSettings>& network_table() {
  using S = NetworkSettings;
  static const OptionTable<S> table = {
      {&S::model, "model", model_help()},
      {&S::shortcut, "shortcut", {"A", "B"}, "how CIFAR ResNets pass on where channels change"},
      {&S::stem, "stem", {"small", "imagenet"}, kStemHelp},
      {&S::width,
       "width",
       {0.01, 64},
       "",
       "multiplies hidden channels of VGG, ResNet, WRN and MobileNetV2"},
  };
  return table;
}

const OptionTable<UnfedSettings>& unfed_table() {
  using S = UnfedSettings;
  static const OptionTable<S> table = {
      {&S::stem, "stem", {"small", "imagenet"}, kStemHelp},
      {&S::image_size,
       "image-size",
       {0, data::kMostImageSide},
       "pixels",
       "side of the network's images; 0: 32 (files of ours tell it)"},
  };
  return table;
}

const OptionTable<DataSettings>& data_table() {
  using S = DataSettings;
  static const OptionTable<S> table = {
      {&S::data,
       "data",
       "the data set: synth, cifar10, cifar100, svhn, svhn+extra, mnist, fashion, folder:PATH, "
       "text:PATH"},
      OptionEntry<S>(&S::data_root,
                     "data-root",
                     "folder of the data sets [the environment's ESPALIER_DATA, or data]")
          .with_default_of_machine(),
      {&S::data_seed,
       "data-seed",
       {0, kMost},
       "",
       "which pictures synth draws, and which subset --test-size takes"},
      {&S::allow_empty_classes,
       "allow-empty-classes",
       "of folder:PATH: a class without pictures is no error"},
      {&S::other_classes,
       "other-classes",
       "weights for classes of other names, or in another order, are no error"},
      {&S::context, "context", {1, 65536}, "tokens", "of text:PATH: the length of a sample"},
      {&S::image_size,
       "image-size",
       {0, data::kMostImageSide},
       "pixels",
       "scale images to squares of this side; 0: as they are"},
  };
  return table;
}

const OptionTable<Normalization>& normalization_table() {
  using S = Normalization;
  static const OptionTable<S> table = {
      {&S::mean, "mean", "r,g,b: mean of pixels / 255 in the training of foreign weights"},
      {&S::stddev, "std", "r,g,b: their standard deviation"},
  };
  return table;
}

const OptionTable<MachineSettings>& threads_table() {
  using S = MachineSettings;
  static const OptionTable<S> table = {
      {&S::threads, "threads", {0, 1024}, "", "of kernels; 0: all. Results don't depend on it"},
  };
  return table;
}

const OptionTable<MachineSettings>& machine_table() {
  using S = MachineSettings;
  static const OptionTable<S> table =
      OptionTable<S>(threads_table())
          .add({&S::workers, "workers", {0, 64}, "", "threads that prepare batches"});
  return table;
}

const OptionTable<KernelSettings>& kernel_table() {
  using S = KernelSettings;
  static const OptionTable<S> table = {
      {&S::kernels,
       "kernels",
       {"rule", "measured"},
       "of masked layers: by rule (same bits everywhere) or timed here"},
      OptionEntry<S>(&S::kernel_times,
                     "kernel-times",
                     "file of the measured times; else kernels.json in the run's folder")
          .needing("kernels", {"measured"}),
      {&S::require_sparse, "require-sparse", "a masked layer that would run densely is an error"},
      {&S::dense, "dense", {"auto", "direct", "winograd2", "winograd4"}, "3x3 convolutions"},
  };
  return table;
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
