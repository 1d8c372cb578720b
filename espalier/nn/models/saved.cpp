// SPDX-License-Identifier: Apache-2.0
// save_model, load_model: a network as tensors and a description from which it is rebuilt.
#include <espalier/core/detail/json.h>
#include <espalier/core/finite.h>
#include <espalier/core/io.h>
#include <espalier/core/safetensors.h>
#include <espalier/nn/forms/kinds.h>
#include <espalier/nn/models/detail/described_network.h>
#include <espalier/nn/models/registry.h>
#include <espalier/nn/quantize/quantize.h>

namespace espalier::nn {
namespace {

using nlohmann::json;

constexpr const char* kKey = "architecture";
constexpr int kVersion = 1;
// No model of the zoo comes near; a hostile file must not make us allocate more.
constexpr int64_t kMaxSize = int64_t{1} << 20;

void check_class_names(const ModelOptions& options) {
  const auto count = static_cast<int64_t>(options.class_names.size());
  ESPALIER_CHECK(count == 0 || count == options.num_classes,
                 ValueError,
                 "model: ",
                 options.num_classes,
                 " classes, but ",
                 count,
                 " names of classes");
}

const char* stem_name(Stem stem) {
  return stem == Stem::Small ? "small" : "imagenet";
}

// Files from before there was a choice don't have the key.
Stem read_stem(const json& description) {
  if (!description.contains("stem")) return Stem::Small;
  const auto text = description.at("stem").get<std::string>();
  for (const Stem stem : {Stem::Small, Stem::ImageNet}) {
    if (text == stem_name(stem)) return stem;
  }
  throw ValueError(cat("stem ", espalier::detail::json_excerpt(description.at("stem"))));
}

json describe(const std::string& name, const ModelOptions& options, Module& module) {
  json layers = json::object();
  for (const NamedModule& part : module.named_modules()) {
    const LayerSizes sizes = part.module->sizes();
    if (!sizes.empty()) layers[part.name] = sizes;
  }
  json out = {{"version", kVersion},
              {"model", name},
              {"num_classes", options.num_classes},
              {"image", {options.image.channels, options.image.height, options.image.width}},
              {"width", options.width},
              {"shortcut", options.shortcut == Shortcut::A ? "A" : "B"},
              {"stem", stem_name(options.stem)},
              {"context", options.context},
              {"seed", options.seed},
              {"layers", layers}};
  if (!options.class_names.empty()) out["classes"] = options.class_names;
  if (const std::string forms = describe_forms(module); !forms.empty()) out["forms"] = forms;
  return out;
}

int64_t size_of(const json& value) {
  // A number such as 1e300 would be undefined as a whole one.
  if (!value.is_number_integer()) {
    throw ValueError(cat("a size of ", espalier::detail::json_excerpt(value)));
  }
  const auto size = value.get<int64_t>();
  if (size < 0 || size > kMaxSize) throw ValueError(cat("a size of ", size));
  return size;
}

ModelOptions read_options(const json& description) {
  if (description.at("version") != kVersion) {
    throw ValueError(cat("version ",
                         espalier::detail::json_excerpt(description.at("version")),
                         ", known is ",
                         kVersion));
  }
  const json& image = description.at("image");
  const auto shortcut = description.at("shortcut").get<std::string>();
  if (shortcut != "A" && shortcut != "B") throw ValueError(cat("shortcut ", shortcut));
  ModelOptions options;
  options.num_classes = size_of(description.at("num_classes"));
  options.image = {size_of(image.at(0)), size_of(image.at(1)), size_of(image.at(2))};
  const data::ImageShape& shape = options.image;
  if (shape.numel() > kMaxSize) {
    throw ValueError("an image of absurd size");
  }
  options.width = description.at("width").get<double>();
  if (!(options.width > 0.0 && options.width <= 64.0)) throw ValueError("a width out of range");
  options.shortcut = shortcut == "A" ? Shortcut::A : Shortcut::B;
  options.stem = read_stem(description);
  options.context = size_of(description.at("context"));
  const json& seed = description.at("seed");
  if (!seed.is_number_integer()) {
    throw ValueError(cat("a seed of ", espalier::detail::json_excerpt(seed)));
  }
  options.seed = seed.get<uint64_t>();
  if (description.contains("classes")) {
    options.class_names = description.at("classes").get<std::vector<std::string>>();
    check_class_names(options);
  }
  return options;
}

/// Sets every layer to the described sizes.
void apply_sizes(Module& module, const json& layers) {
  std::map<std::string, Module*> parts;
  for (const NamedModule& part : module.named_modules()) parts[part.name] = part.module;
  for (const auto& [name, sizes] : layers.items()) {
    const auto part = parts.find(name);
    if (part == parts.end()) throw ValueError(cat("no layer is named ", name));
    LayerSizes wanted;
    for (const auto& [key, size] : sizes.items()) wanted[key] = size_of(size);
    if (wanted != part->second->sizes()) part->second->set_sizes(wanted);
  }
}

}  // namespace

std::string describe_model(std::string_view name, const ModelOptions& options, Module& module) {
  check_class_names(options);
  // Names of folders need not be UTF-8; what is not becomes a question mark.
  return describe(canonical_model_name(name), options, module)
      .dump(-1, ' ', false, json::error_handler_t::replace);
}

SavedModel model_of_description(const std::string& text, const std::string& where) {
  SavedModel saved;
  try {
    const auto description = espalier::detail::parse_json<json>(text, "it");
    saved.name = canonical_model_name(description.at("model").get<std::string>());
    saved.options = read_options(description);
    saved.module = make_model(saved.name, saved.options);
    apply_sizes(*saved.module, description.at("layers"));
    // `gates` and `quantized`: files from before there were other forms.
    for (const char* key : {"forms", "gates"}) {
      if (description.contains(key)) {
        restore_forms(*saved.module, description.at(key).get<std::string>());
      }
    }
    if (description.value("quantized", false)) attach_quantizers(*saved.module);
  } catch (const json::exception& e) {
    throw IoError(
        cat("load_model: ", where, ": bad description: ", espalier::detail::json_words(e)));
  } catch (const Error& e) {
    throw IoError(cat("load_model: ", where, ": bad description: ", e.what()));
  }
  return saved;
}

void save_model(const std::filesystem::path& path,
                std::string_view name,
                const ModelOptions& options,
                Module& module) {
  const std::map<std::string, Tensor> state = module.state_dict();
  check_can_be_read(state, cat("save_model: ", path.string()));
  save_safetensors(path, {state, {{kKey, describe_model(name, options, module)}}});
}

SavedModel load_model(const std::filesystem::path& path) {
  const std::vector<uint8_t> bytes = read_file(path, "safetensors");
  const SafetensorsFile file = parse_safetensors(bytes, path.string());
  const auto entry = file.metadata.find(kKey);
  ESPALIER_CHECK(entry != file.metadata.end(),
                 IoError,
                 "load_model: ",
                 path.string(),
                 " has no description of its architecture. For weights from elsewhere, make the "
                 "model by name and use load_state_dict");
  check_finite(file.tensors, path.string());
  SavedModel saved =
      detail::described_network(entry->second, path.string(), static_cast<int64_t>(bytes.size()));
  try {
    saved.module->load_state_dict(file.tensors);
  } catch (const Error& error) {
    throw ValueError(cat("load_model: ", path.string(), ": ", error.what()));
  }
  return saved;
}

}  // namespace espalier::nn
