// SPDX-License-Identifier: Apache-2.0
/// Networks of the verbs: made from settings, read from files, with weights and masks.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include <espalier/core/safetensors.h>
#include <espalier/data/dataset.h>
#include <espalier/experiments/settings/train_settings.h>
#include <espalier/nn/models/registry.h>
#include <espalier/prune/structure/elastic.h>

namespace espalier::experiments {

/// A network and how it was built.
struct Network {
  std::string name;
  nn::ModelOptions options;
  std::unique_ptr<nn::Module> module;
  bool any_classes = false;  ///< weights for classes of other names may be put into it
  /// The shape of a sample: (C,H,W) of an image, (T) of a text. Without a name: of an image.
  Shape sample() const {
    const bool reads_text = !name.empty() && nn::model_input(name) == nn::InputKind::Tokens;
    if (reads_text) return {options.context};
    return {options.image.channels, options.image.height, options.image.width};
  }
};

/// The network that the settings name, for the samples and classes of `dataset`; `any_classes` says
/// whether it takes weights for classes of other names.
Network make_network(const NetworkSettings& settings,
                     bool any_classes,
                     const data::Dataset& dataset,
                     uint64_t seed = 0);

/// `model`, `width` and `shortcut` of a network, as settings.
nlohmann::ordered_json network_settings(const Network& network);
/// Throws ValueError naming `verb` and `file` where one of `asked`, settings of that kind, is
/// another than the network of the file has.
void check_asked_network(const std::string& verb,
                         const std::map<std::string, nlohmann::ordered_json>& asked,
                         const Network& network,
                         const std::string& file);
/// Those of the settings whose option is in `given`.
std::map<std::string, nlohmann::ordered_json> asked_of_network(const NetworkSettings& settings,
                                                               const std::set<std::string>& given);

/// True for a readable file that describes its network: an .edc file, or safetensors of ours.
/// Throws IoError for a bad one.
bool tells_its_network(const std::filesystem::path& path);

/// Nothing for `None`.
std::optional<prune::BlockOrder> elastic_order(Elastic elastic);

/// A network with the weights of a file: rebuilt from its description if it has one (shrunk and
/// compressed networks too), else `fallback` with its tensors. With `elastic` always the latter,
/// and the file may be of another depth (prune/structure/elastic.h). Throws IoError for a bad file
/// or a value that is not finite, ValueError for weights that don't fit, and for a file whose
/// classes have other names than those of `fallback`, or another order, unless that takes any.
Network load_network(const std::filesystem::path& path,
                     Network fallback,
                     std::optional<prune::BlockOrder> elastic = std::nullopt);
/// The network that a file of ours describes. Throws IoError for a file without a description.
Network load_network(const std::filesystem::path& path);

/// The network of a file whichever it is: rebuilt from the file's description, else the zoo's
/// `model` (32x32 pixels, ten classes) with its tensors. Throws as the others, and ValueError
/// naming `verb` where the file has no description and `model` is empty.
Network load_network(const std::string& verb,
                     const std::filesystem::path& path,
                     const std::string& model);
/// A network of the zoo with initial weights of a seed.
Network fresh_network(const std::string& model, uint64_t seed = 0);

/// Sets the masks of a file of ours, as of a pruned run, on a network, whose values stay what they
/// are elsewhere. With `elastic` the file may be of another depth. A classifier for another number
/// of classes stays dense, which the returned notes tell. Throws IoError for a bad file, ValueError
/// for one without masks and for masks that don't fit.
std::vector<std::string> take_masks(const std::filesystem::path& path,
                                    Network& network,
                                    std::optional<prune::BlockOrder> elastic = std::nullopt);

/// What zeros of prunable weights without masks are, of a network read from `file`: with `mask`
/// they become masks, so that they stay zero and cost nothing; else, when there are many, the
/// returned notes tell of them, for they train and run like any other weight. Throws ValueError
/// for `mask` where there are none.
std::vector<std::string> heed_zeros(const std::filesystem::path& file, Network& network, bool mask);

/// FNV-1a (64 bits, hexadecimal) of a file's bytes: tells whether two runs started from equal
/// weights.
std::string file_fingerprint(const std::filesystem::path& path);

}  // namespace espalier::experiments
