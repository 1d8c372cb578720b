// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/inputs/networks.h>

#include <nlohmann/json.hpp>

#include <espalier/core/finite.h>
#include <espalier/core/io.h>
#include <espalier/data/identity.h>
#include <espalier/experiments/settings/settings_json.h>
#include <espalier/nn/compress/edc_file.h>
#include <espalier/nn/introspect/counting.h>

namespace espalier::experiments {
namespace {

// The metadata key under which nn::save_model keeps what is needed to rebuild a network.
constexpr const char* kArchitecture = "architecture";

Network take(nn::SavedModel saved) {
  return {std::move(saved.name), saved.options, std::move(saved.module)};
}

// As a file can hold them: what is not UTF-8 in a folder's name is replaced.
std::vector<std::string> names_for_files(const std::vector<std::string>& names) {
  const nlohmann::json json = names;
  return nlohmann::json::parse(json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

// A network that is right about class 0 of its own data is wrong about all of them where that is
// class 1, and nothing but the names tells.
void check_classes(const std::filesystem::path& path,
                   const std::vector<std::string>& there,
                   const Network& here) {
  const std::vector<std::string>& names = here.options.class_names;
  if (here.any_classes || there.empty() || names.empty()) return;
  const std::string difference = data::first_difference_of_names(there, names);
  ESPALIER_CHECK(
      difference.empty(),
      ValueError,
      path.string(),
      " was trained for other classes than the data has: ",
      difference,
      ". Was a folder of pictures renamed? If other classes are meant, as in fine-tuning "
      "on other data, give --other-classes");
}

void put_state(const std::filesystem::path& path,
               const std::map<std::string, Tensor>& state,
               Network& network) {
  try {
    network.module->load_state_dict(state);
  } catch (const ValueError& error) {
    throw ValueError(cat(path.string(), " does not fit ", network.name, ": ", error.what()));
  }
}

// Rows of the last layer with weights in a file from elsewhere; those of the network where the file
// has no such tensor, which loading will tell.
int64_t classes_of(const SafetensorsFile& file, const Network& network) {
  const auto found = file.tensors.find(nn::prunable_parameters(*network.module).back().name);
  const bool there = found != file.tensors.end() && found->second.rank() >= 1;
  return there ? found->second.size(0) : network.options.num_classes;
}

// Other files of ours are safetensors too.
void check_holds_weights(const SafetensorsFile& file, const std::filesystem::path& path) {
  ESPALIER_CHECK(!file.metadata.contains("espalier_plan"),
                 ValueError,
                 path.string(),
                 " is a compiled plan, which programs run; give the weights that it was made of");
  ESPALIER_CHECK(
      !file.metadata.contains("metrics"),
      ValueError,
      path.string(),
      " is the checkpoint of a run; its weights are in model.safetensors beside it, when "
      "the run is finished");
}

}  // namespace

Network make_network(const NetworkSettings& settings,
                     bool any_classes,
                     const data::Dataset& dataset,
                     uint64_t seed) {
  Network network;
  network.name = nn::canonical_model_name(settings.model);
  const bool reads_text = nn::model_input(network.name) == nn::InputKind::Tokens;
  ESPALIER_CHECK(reads_text == (dataset.context() > 0),
                 ValueError,
                 "model ",
                 network.name,
                 reads_text ? " reads text, but data set " : " reads images, but data set ",
                 dataset.name(),
                 reads_text ? " holds images; --data text:PATH is a text"
                            : " is a text, which the model gpt reads");
  network.options.num_classes = static_cast<int64_t>(dataset.class_names().size());
  if (reads_text) {
    network.options.context = dataset.context();
  } else {
    network.options.image = dataset.image_shape();
  }
  network.options.class_names = names_for_files(dataset.class_names());
  network.any_classes = any_classes;
  network.options.seed = seed;
  network.options.width = settings.width;
  network.options.stem = settings.stem;
  network.options.shortcut = settings.shortcut;
  check_choices(network);
  network.module = nn::make_model(network.name, network.options);
  return network;
}

void check_choices(const Network& network) {
  const nn::ModelOptions& options = network.options;
  ESPALIER_CHECK(options.width == 1.0 || nn::model_has_widths(network.name),
                 ValueError,
                 "--width ",
                 options.width,
                 ": ",
                 network.name,
                 " has one width; VGG, ResNet, WRN and MobileNetV2 have others");
  ESPALIER_CHECK(options.shortcut == nn::Shortcut::A || nn::model_has_shortcuts(network.name),
                 ValueError,
                 "--shortcut B: ",
                 network.name,
                 " has no choice of shortcuts; CIFAR's ResNets have");
  ESPALIER_CHECK(options.stem == nn::Stem::Small || nn::model_has_stems(network.name),
                 ValueError,
                 "--stem imagenet: ",
                 network.name,
                 " has one stem; ResNet-18, 34 and 50 and MobileNetV2 have the choice");
}

nlohmann::ordered_json network_settings(const Network& network) {
  return {{"model", network.name},
          {"width", network.options.width},
          {"shortcut", network.options.shortcut == nn::Shortcut::A ? "A" : "B"},
          {"stem", network.options.stem == nn::Stem::Small ? "small" : "imagenet"}};
}

void check_asked_network(const std::string& verb,
                         const std::map<std::string, nlohmann::ordered_json>& asked,
                         const Network& network,
                         const std::string& file) {
  const nlohmann::ordered_json facts = network_settings(network);
  for (const auto& [name, value] : asked) {
    const nlohmann::ordered_json wanted =
        name == "model" ? nlohmann::ordered_json(nn::canonical_model_name(value.get<std::string>()))
                        : value;
    ESPALIER_CHECK(wanted == facts.at(name),
                   ValueError,
                   verb,
                   ": --",
                   name,
                   " ",
                   wanted.dump(),
                   " was asked for, but ",
                   file,
                   " holds a network with ",
                   name,
                   " ",
                   facts.at(name).dump(),
                   "; leave the option out");
  }
}

std::map<std::string, nlohmann::ordered_json> asked_of_network(const NetworkSettings& settings,
                                                               const std::set<std::string>& given) {
  const auto& table = network_table();
  const nlohmann::ordered_json json = to_json(table.options(), table.texts(settings));
  std::map<std::string, nlohmann::ordered_json> asked;
  for (const auto& [name, value] : json.items()) {
    if (given.contains(name)) asked[name] = value;
  }
  return asked;
}

bool tells_its_network(const std::filesystem::path& path) {
  return nn::compress::is_edc(path) || load_safetensors(path).metadata.contains(kArchitecture);
}

std::optional<prune::BlockOrder> elastic_order(Elastic elastic) {
  if (elastic == Elastic::None) return std::nullopt;
  return elastic == Elastic::Append ? prune::BlockOrder::Append : prune::BlockOrder::Interpolate;
}

Network load_network(const std::filesystem::path& path,
                     Network fallback,
                     std::optional<prune::BlockOrder> elastic) {
  if (!elastic && tells_its_network(path)) {
    Network network = load_network(path);
    ESPALIER_CHECK(network.options.image == fallback.options.image &&
                       network.options.num_classes == fallback.options.num_classes,
                   ValueError,
                   path.string(),
                   " holds a ",
                   network.name,
                   " for ",
                   network.options.num_classes,
                   " classes and images ",
                   network.sample(),
                   ", but the data has ",
                   fallback.options.num_classes,
                   " and ",
                   fallback.sample(),
                   network.options.image == fallback.options.image
                       ? ""
                       : ". --image-size scales the images of the data");
    check_classes(path, network.options.class_names, fallback);
    // What is saved from it later is for the classes of the data at hand.
    network.options.class_names = fallback.options.class_names;
    return network;
  }
  const SafetensorsFile file = load_safetensors(path);
  check_holds_weights(file, path);
  check_finite(file.tensors, path.string());
  for (const auto& [name, tensor] : fallback.module->state_dict()) {
    check_readable(file, name, path.string());
  }
  if (elastic && tells_its_network(path)) {
    check_classes(path, load_network(path).options.class_names, fallback);
  }
  put_state(path,
            elastic ? prune::elastic_state(file.tensors, *fallback.module, *elastic) : file.tensors,
            fallback);
  return fallback;
}

Network load_network(const std::filesystem::path& path) {
  const bool edc = nn::compress::is_edc(path);
  return take(edc ? nn::compress::load_edc(path) : nn::load_model(path));
}

Network load_network(const std::string& verb,
                     const std::filesystem::path& path,
                     const std::string& model,
                     const UnfedSettings& told,
                     const std::set<std::string>& given) {
  if (tells_its_network(path)) {
    Network network = load_network(path);
    const NetworkSettings settings{.model = model, .stem = told.stem};
    check_asked_network(verb, asked_of_network(settings, given), network, path.string());
    const data::ImageShape& image = network.options.image;
    ESPALIER_CHECK(!given.contains("image-size") || told.image_size == 0 ||
                       (image.height == told.image_size && image.width == told.image_size),
                   ValueError,
                   verb,
                   ": --image-size ",
                   told.image_size,
                   " was asked for, but the network of ",
                   path.string(),
                   " reads ",
                   network.sample(),
                   "; leave the option out");
    return network;
  }
  const SafetensorsFile file = load_safetensors(path);
  check_holds_weights(file, path);
  ESPALIER_CHECK(!model.empty(),
                 ValueError,
                 verb,
                 ": ",
                 path.string(),
                 " does not tell which network it is of, as weights from elsewhere; name it with "
                 "--model");
  Network network = fresh_network(model, 0, told);
  if (const int64_t classes = classes_of(file, network); classes != network.options.num_classes) {
    network.options.num_classes = classes;
    network.module = nn::make_model(network.name, network.options);
  }
  return load_network(path, std::move(network));
}

Network fresh_network(const std::string& model, uint64_t seed, const UnfedSettings& settings) {
  Network network;
  network.name = nn::canonical_model_name(model);
  network.options.seed = seed;
  network.options.stem = settings.stem;
  check_choices(network);
  if (const int64_t side = settings.image_size; side != 0) {
    network.options.image.height = network.options.image.width = side;
  }
  network.module = nn::make_model(network.name, network.options);
  return network;
}

std::string file_fingerprint(const std::filesystem::path& path) {
  uint64_t hash = 14695981039346656037ull;
  for (const uint8_t byte : read_file(path, "weights")) hash = (hash ^ byte) * 1099511628211ull;
  std::string out;
  for (int shift = 60; shift >= 0; shift -= 4) out += "0123456789abcdef"[(hash >> shift) & 15];
  return out;
}

}  // namespace espalier::experiments
