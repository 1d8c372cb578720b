// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/inputs/networks.h>

#include <algorithm>

#include <fmt/format.h>
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
  ESPALIER_CHECK(network.options.width == 1.0 || nn::model_has_widths(network.name),
                 ValueError,
                 "--width ",
                 network.options.width,
                 ": ",
                 network.name,
                 " has one width; VGG, ResNet, WRN and MobileNetV2 have others");
  network.options.shortcut = settings.shortcut;
  ESPALIER_CHECK(
      network.options.shortcut == nn::Shortcut::A || nn::model_has_shortcuts(network.name),
      ValueError,
      "--shortcut B: ",
      network.name,
      " has no choice of shortcuts; CIFAR's ResNets have");
  network.module = nn::make_model(network.name, network.options);
  return network;
}

nlohmann::ordered_json network_settings(const Network& network) {
  return {{"model", network.name},
          {"width", network.options.width},
          {"shortcut", network.options.shortcut == nn::Shortcut::A ? "A" : "B"}};
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
                   fallback.sample());
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
                     const std::string& model) {
  if (tells_its_network(path)) {
    Network network = load_network(path);
    if (!model.empty()) check_asked_network(verb, {{"model", model}}, network, path.string());
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
  return load_network(path, fresh_network(model));
}

Network fresh_network(const std::string& model, uint64_t seed) {
  Network network;
  network.name = nn::canonical_model_name(model);
  network.options.seed = seed;
  network.module = nn::make_model(network.name, network.options);
  return network;
}

std::vector<std::string> take_masks(const std::filesystem::path& path,
                                    Network& network,
                                    std::optional<prune::BlockOrder> elastic) {
  constexpr std::string_view kMask = ".mask";
  std::map<std::string, Tensor> tensors = load_safetensors(path).tensors;
  check_finite(tensors, path.string());
  // The names of a shallower network are all in a deeper one, which would be pruned in part.
  if (!elastic && tells_its_network(path)) {
    const std::string found_on = load_network(path).name;
    ESPALIER_CHECK(found_on == network.name,
                   ValueError,
                   path.string(),
                   " holds the masks of another model, ",
                   found_on,
                   ", not of ",
                   network.name,
                   "; for another depth see --elastic");
  }
  if (elastic) tensors = prune::elastic_state(tensors, *network.module, *elastic);
  const auto parameters = network.module->named_parameters();
  const std::string classifier = nn::prunable_parameters(*network.module).back().name;
  std::vector<std::pair<nn::Parameter*, Tensor>> masks;
  std::vector<std::string> notes;
  for (const auto& [name, mask] : tensors) {
    if (!name.ends_with(kMask)) continue;
    const std::string owner = name.substr(0, name.size() - kMask.size());
    const auto found = std::find_if(
        parameters.begin(), parameters.end(), [&](const auto& one) { return one.name == owner; });
    ESPALIER_CHECK(found != parameters.end(),
                   ValueError,
                   path.string(),
                   " has a mask of '",
                   owner,
                   "', which ",
                   network.name,
                   " does not have. Is it of another model, or of another depth (--elastic)?");
    const Shape& expected = found->parameter->shape();
    if (owner == classifier && mask.shape() != expected) {
      notes.push_back(
          cat("mask-from: ", owner, " stays dense: its mask is for another number of classes"));
      continue;
    }
    ESPALIER_CHECK(mask.shape() == expected && mask.dtype() == DType::U8,
                   ValueError,
                   path.string(),
                   ": the mask of ",
                   owner,
                   " does not fit: expected bytes ",
                   expected,
                   ", got ",
                   mask.shape(),
                   ". Was it found at another width?");
    masks.emplace_back(found->parameter, mask);
  }
  ESPALIER_CHECK(!masks.empty(),
                 ValueError,
                 path.string(),
                 " holds no masks; give the model.safetensors of a pruned run");
  for (const auto& [parameter, mask] : masks) parameter->set_mask(mask);
  return notes;
}

std::vector<std::string> heed_zeros(const std::filesystem::path& file,
                                    Network& network,
                                    bool mask) {
  constexpr double kMany = 0.01;  // trained weights are hardly ever exactly zero
  int64_t weights = 0;
  int64_t zeros = 0;
  for (const nn::NamedParameter& p : nn::prunable_parameters(*network.module)) {
    weights += p.parameter->numel();
    if (p.parameter->masked()) continue;
    Tensor kept = Tensor::empty(p.parameter->shape(), DType::U8);
    const Tensor value = p.parameter->value.value().to(Layout::Nchw).contiguous();
    dispatch_floating(value.dtype(), "masks-from-zeros", [&](auto zero) {
      const auto* values = value.data<decltype(zero)>();
      std::transform(values, values + value.numel(), kept.data<uint8_t>(), [](auto v) {
        return static_cast<uint8_t>(v != 0 ? 1 : 0);
      });
    });
    const auto* flags = kept.data<uint8_t>();
    const int64_t of_weight = std::count(flags, flags + kept.numel(), uint8_t{0});
    if (of_weight == 0) continue;
    zeros += of_weight;
    if (mask) p.parameter->set_mask(kept);
  }
  const double share =
      weights == 0 ? 0.0 : static_cast<double>(zeros) / static_cast<double>(weights);
  const std::string what = fmt::format(
      "{}: {:.1f} % of the weights are zero and had no mask", file.string(), 100 * share);
  if (mask) {
    ESPALIER_CHECK(zeros > 0,
                   ValueError,
                   "--masks-from-zeros: ",
                   file.string(),
                   " has no weights that are zero without a mask; leave the option out");
    return {what + "; they are masked now"};
  }
  if (share < kMany) return {};
  return {what +
          ": they train like any other weight, and only compiled plans leave them out. "
          "--masks-from-zeros keeps them removed"};
}

std::string file_fingerprint(const std::filesystem::path& path) {
  uint64_t hash = 14695981039346656037ull;
  for (const uint8_t byte : read_file(path, "weights")) hash = (hash ^ byte) * 1099511628211ull;
  std::string out;
  for (int shift = 60; shift >= 0; shift -= 4) out += "0123456789abcdef"[(hash >> shift) & 15];
  return out;
}

}  // namespace espalier::experiments
