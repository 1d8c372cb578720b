// SPDX-License-Identifier: Apache-2.0
/// What the verbs work on, made from their settings: networks with weights, data sets, loaders.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <espalier/core/safetensors.h>
#include <espalier/data/loader.h>
#include <espalier/nn/counting.h>
#include <espalier/nn/models/registry.h>
#include <espalier/nn/plan/plan.h>
#include <espalier/prune/options.h>
#include <espalier/prune/structure/elastic.h>

namespace espalier::experiments {

/// Opens a split of `data` below `data-root`; of the test split the subset that `test-size` asks
/// for. Throws ValueError, IoError.
std::shared_ptr<const data::Dataset> open_split(const prune::OptionValues& values,
                                                data::Split split);
/// data::open_dataset; the error for files that are not there tells how to get them.
std::shared_ptr<const data::Dataset> open_data(const std::string& name,
                                               data::Split split,
                                               const std::string& root,
                                               uint64_t seed);
/// True when `espalier data fetch` knows where a data set is published.
bool is_fetchable(const std::string& name);
/// True when the files of a data set are there, packed or not.
bool is_found(const data::DatasetInfo& info, const std::filesystem::path& root);
/// `train` or `test`. Throws ValueError.
data::Split parse_split(const std::string& text);

/// A network and how it was built.
struct Network {
  std::string name;
  nn::ModelOptions options;
  std::unique_ptr<nn::Module> module;
  Shape image() const {
    return {options.image.channels, options.image.height, options.image.width};
  }
};

/// The network that `model`, `shortcut` and `width` name, for the images and classes of `dataset`.
Network make_network(const prune::OptionValues& values,
                     const data::Dataset& dataset,
                     uint64_t seed = 0);

/// True for a readable file that describes its network: an .edc file, or safetensors of ours.
/// Throws IoError for a bad one.
bool tells_its_network(const std::filesystem::path& path);

/// The setting `elastic`; nothing for `none`.
std::optional<prune::BlockOrder> elastic_order(const prune::OptionValues& values);

/// A network with the weights of a file: rebuilt from its description if it has one (shrunk and
/// compressed networks too), else `fallback` with its tensors. With `elastic` always the latter,
/// and the file may be of another depth (prune/structure/elastic.h). Throws IoError for a bad file
/// or a value that is not finite, ValueError for weights that don't fit.
Network load_network(const std::filesystem::path& path,
                     Network fallback,
                     std::optional<prune::BlockOrder> elastic = std::nullopt);
/// The network that a file of ours describes. Throws IoError for a file without a description.
Network load_network(const std::filesystem::path& path);

/// Sets the masks of a file of ours, as of a pruned run, on a network, whose values stay what they
/// are elsewhere. With `elastic` the file may be of another depth. A classifier for another number
/// of classes stays dense, which the returned notes tell. Throws IoError for a bad file, ValueError
/// for one without masks and for masks that don't fit.
std::vector<std::string> take_masks(const std::filesystem::path& path,
                                    Network& network,
                                    std::optional<prune::BlockOrder> elastic = std::nullopt);

/// Throws IoError naming the file and the first tensor that holds NaN or infinity.
void check_finite(const SafetensorsFile& file, const std::filesystem::path& path);

/// FNV-1a (64 bits, hexadecimal) of a file's bytes: tells whether two runs started from equal
/// weights.
std::string file_fingerprint(const std::filesystem::path& path);

/// Sets up the kernel chooser from `kernels`, `kernel-times` and `require-sparse`; measured times
/// go to `default_file` when `kernel-times` names none. Throws IoError for a bad file.
void set_kernel_chooser(const prune::OptionValues& values,
                        const std::filesystem::path& default_file = {});

/// Takes over `mean` and `std` where they are given. Throws ValueError for one without the other
/// and for texts that are no lists of numbers.
void set_normalization(const prune::OptionValues& values, data::LoaderOptions& options);

/// Test-time batches of a data set, with the `workers`, `mean` and `std` of the settings. Throws
/// like `set_normalization`.
data::LoaderOptions evaluation_loader(const prune::OptionValues& values, int64_t batch);

/// The network as an inference plan for `batch` images at once. Throws NotImplemented naming what a
/// plan cannot do.
nn::InferencePlan compile_network(Network& network, int64_t batch);

/// The figures of an evaluated network under the names that `eval --json` promises; with a plan,
/// which was compiled from it, accuracy, speed and executed MACs are the plan's. Executed MACs of a
/// gated network are the mean over the images.
nlohmann::ordered_json measure(Network& network,
                               data::Loader& loader,
                               const nn::InferencePlan* plan = nullptr);

/// The counts alone: `sparsity`, `params`, `params_nonzero`, `macs_dense`, `macs_effective`,
/// `macs_executed`.
nlohmann::ordered_json count_json(const nn::ModelCount& count);

}  // namespace espalier::experiments
