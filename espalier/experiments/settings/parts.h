// SPDX-License-Identifier: Apache-2.0
/// Settings that several verbs share, as plain structs with tables of their members: flags, TOML
/// keys, help and run.json are made from the tables.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <espalier/core/kernels/conv2d/conv2d.h>
#include <espalier/core/options/table.h>
#include <espalier/nn/models/options.h>

namespace espalier::experiments {

/// The data root when none is given: the environment variable ESPALIER_DATA, else `data`.
std::string default_data_root();
/// What the flag `model` says: the networks of the zoo.
std::string model_help();
/// What the flag `masks-from-zeros` says.
inline constexpr const char* kMasksFromZerosHelp =
    "zeros without masks, as after pruning elsewhere, become masks";

/// What the flag `saved` says.
inline constexpr const char* kSavedHelp =
    "activations until backward needs them: bfloat16 takes half of the memory";

/// What the flag `plan-weights` says.
inline constexpr const char* kPlanWeightsHelp =
    "of --compiled: bfloat16 rounds them and reads half of the bytes where that pays";

/// A network of the zoo.
struct NetworkSettings {
  std::string model = "resnet20";           ///< its name
  nn::Shortcut shortcut = nn::Shortcut::A;  ///< of CIFAR's ResNets
  nn::Stem stem = nn::Stem::Small;          ///< of ResNet-18, 34, 50 and MobileNetV2
  double width = 1.0;                       ///< factor of hidden channels
};
/// `model`, `shortcut`, `stem`, `width`.
const OptionTable<NetworkSettings>& network_table();

/// What has to be told besides its name of a network without data: one of the zoo with initial
/// weights, or that of a file from elsewhere.
struct UnfedSettings {
  nn::Stem stem = nn::Stem::Small;  ///< as of NetworkSettings
  int64_t image_size = 0;           ///< side of its images; 0: 32
};
/// `stem`, `image-size`.
const OptionTable<UnfedSettings>& unfed_table();

/// A data set and how its files are read.
struct DataSettings {
  std::string data = "synth";                   ///< its name
  std::string data_root = default_data_root();  ///< folder of the data sets
  int64_t data_seed = 0;                        ///< of synth's pictures, and of test subsets
  bool allow_empty_classes = false;             ///< of a folder of pictures
  bool other_classes = false;                   ///< weights may be for classes of other names
  int64_t context = 128;                        ///< tokens of a text's sample
  int64_t image_size = 0;                       ///< side of square images; 0: as they are
};
/// `data`, `data-root`, `data-seed`, `allow-empty-classes`, `other-classes`, `context`,
/// `image-size`.
const OptionTable<DataSettings>& data_table();
/// What the flag `test-size` says.
inline constexpr const char* kTestSizeHelp =
    "test on a fixed subset, drawn by --data-seed; 0: the whole split";

/// How pixels were normalized for weights from elsewhere: lists `r,g,b`; empty: as the data set's.
struct Normalization {
  std::string mean = {};    ///< mean of pixels / 255 by channel
  std::string stddev = {};  ///< their standard deviation
};
/// `mean`, `std`.
const OptionTable<Normalization>& normalization_table();

/// How fast, never what comes out.
struct MachineSettings {
  int64_t threads = 0;  ///< of kernels; 0: all
  int64_t workers = 1;  ///< that prepare batches
};
/// `threads`, `workers`.
const OptionTable<MachineSettings>& machine_table();
/// `threads` alone.
const OptionTable<MachineSettings>& threads_table();

/// How a masked layer's kernel is chosen.
enum class KernelChoice : uint8_t { Rule, Measured };
/// How kernels are chosen.
struct KernelSettings {
  KernelChoice kernels = KernelChoice::Rule;      ///< of masked layers
  std::string kernel_times = {};                  ///< file of measured times
  bool require_sparse = false;                    ///< a masked layer must not run densely
  Conv2dAlgorithm dense = Conv2dAlgorithm::Auto;  ///< of dense 3x3 convolutions
};
/// `kernels`, `kernel-times`, `require-sparse`, `dense`.
const OptionTable<KernelSettings>& kernel_table();

/// The numbers of a comma-separated list. Throws ValueError naming `option`.
std::vector<double> parse_numbers(const std::string& option, const std::string& text);

}  // namespace espalier::experiments
