// SPDX-License-Identifier: Apache-2.0
/// Networks of the verbs: made from settings or read from files. Their masks are in masks.h.
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

/// Throws ValueError where width, shortcut or stem of a network is one that its model does not
/// have.
void check_choices(const Network& network);

/// `model`, `width`, `shortcut` and `stem` of a network, as settings.
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
/// `model` as `told`, with its tensors, and with as many classes as its last layer has there.
/// Throws as the others, and ValueError naming `verb` where the file has no description and `model`
/// is empty, and where it has one and an option in `given` asks for another network.
Network load_network(const std::string& verb,
                     const std::filesystem::path& path,
                     const std::string& model,
                     const UnfedSettings& told,
                     const std::set<std::string>& given);
/// A network of the zoo for ten classes with initial weights of a seed. Throws as
/// check_choices.
Network fresh_network(const std::string& model,
                      uint64_t seed = 0,
                      const UnfedSettings& settings = {});

/// FNV-1a (64 bits, hexadecimal) of a file's bytes: tells whether two runs started from equal
/// weights.
std::string file_fingerprint(const std::filesystem::path& path);

}  // namespace espalier::experiments
