// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/inputs.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include <espalier/core/io.h>
#include <espalier/core/mac_counter.h>
#include <espalier/data/fetch.h>
#include <espalier/experiments/options.h>
#include <espalier/nn/compress/edc_file.h>
#include <espalier/nn/fit.h>
#include <espalier/nn/gates/attach.h>
#include <espalier/sparse/chooser.h>

namespace espalier::experiments {
namespace {

// The metadata key under which nn::save_model keeps what is needed to rebuild a network.
constexpr const char* kArchitecture = "architecture";

Network take(nn::SavedModel saved) {
  return {std::move(saved.name), saved.options, std::move(saved.module)};
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

// What can be done about files that are not in `root`.
std::string how_to_get(const std::string& name, const std::string& root) {
  const std::string elsewhere = root == default_data_root() ? "" : " --data-root " + root;
  return cat(is_fetchable(name)
                 ? cat("Get it with `espalier data fetch ", name, elsewhere, "`, or tell")
                 : "Tell",
             " where it is with --data-root or the environment variable ESPALIER_DATA");
}

}  // namespace

std::shared_ptr<const data::Dataset> open_split(const prune::OptionValues& values,
                                                data::Split split) {
  const auto seed = static_cast<uint64_t>(values.integer("data-seed"));
  auto dataset = open_data(values.text("data"), split, values.text("data-root"), seed);
  const int64_t size = values.integer("test-size");
  if (split != data::Split::Test || size == 0) return dataset;
  return data::subset(std::move(dataset), size, seed);
}

std::shared_ptr<const data::Dataset> open_data(const std::string& name,
                                               data::Split split,
                                               const std::string& root,
                                               uint64_t seed) {
  try {
    return data::open_dataset(name, split, root, seed);
  } catch (const IoError& error) {
    for (const data::DatasetInfo& info : data::known_datasets()) {
      if (info.name != name || is_found(info, root)) continue;
      throw IoError(cat(error.what(), ". ", how_to_get(name, root)));
    }
    throw;
  }
}

bool is_fetchable(const std::string& name) {
  const auto& published = data::remote_datasets();
  return std::any_of(published.begin(), published.end(), [&](const data::RemoteDataset& remote) {
    return remote.name == name;
  });
}

bool is_found(const data::DatasetInfo& info, const std::filesystem::path& root) {
  if (info.first_file.empty()) return true;
  const std::filesystem::path file = root / info.folder / info.first_file;
  return std::filesystem::exists(file) || std::filesystem::exists(file.string() + ".gz");
}

data::Split parse_split(const std::string& text) {
  if (text == "train") return data::Split::Train;
  if (text == "test") return data::Split::Test;
  throw ValueError(cat("split: expects train or test, got '", text, "'"));
}

Network make_network(const prune::OptionValues& values,
                     const data::Dataset& dataset,
                     uint64_t seed) {
  Network network;
  network.name = nn::canonical_model_name(values.text("model"));
  ESPALIER_CHECK(nn::model_input(network.name) == nn::InputKind::Images,
                 ValueError,
                 "model ",
                 network.name,
                 " reads text, but data set ",
                 dataset.name(),
                 " holds images");
  network.options.num_classes = static_cast<int64_t>(dataset.class_names().size());
  network.options.image = dataset.image_shape();
  network.options.seed = seed;
  network.options.width = values.real("width");
  ESPALIER_CHECK(network.options.width == 1.0 || nn::model_has_widths(network.name),
                 ValueError,
                 "--width ",
                 network.options.width,
                 ": ",
                 network.name,
                 " has one width; VGG, ResNet, WRN and MobileNetV2 have others");
  network.options.shortcut = values.text("shortcut") == "A" ? nn::Shortcut::A : nn::Shortcut::B;
  network.module = nn::make_model(network.name, network.options);
  return network;
}

bool tells_its_network(const std::filesystem::path& path) {
  return nn::compress::is_edc(path) || load_safetensors(path).metadata.contains(kArchitecture);
}

std::optional<prune::BlockOrder> elastic_order(const prune::OptionValues& values) {
  const std::string& text = values.text("elastic");
  if (text == "none") return std::nullopt;
  return text == "append" ? prune::BlockOrder::Append : prune::BlockOrder::Interpolate;
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
                   network.image(),
                   ", but the data has ",
                   fallback.options.num_classes,
                   " and ",
                   fallback.image());
    return network;
  }
  const SafetensorsFile file = load_safetensors(path);
  check_finite(file, path);
  put_state(path,
            elastic ? prune::elastic_state(file.tensors, *fallback.module, *elastic) : file.tensors,
            fallback);
  return fallback;
}

Network load_network(const std::filesystem::path& path) {
  const bool edc = nn::compress::is_edc(path);
  Network network = take(edc ? nn::compress::load_edc(path) : nn::load_model(path));
  check_finite({network.module->state_dict(), {}}, path);
  return network;
}

std::vector<std::string> take_masks(const std::filesystem::path& path,
                                    Network& network,
                                    std::optional<prune::BlockOrder> elastic) {
  constexpr std::string_view kMask = ".mask";
  std::map<std::string, Tensor> tensors = load_safetensors(path).tensors;
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

void check_finite(const SafetensorsFile& file, const std::filesystem::path& path) {
  const auto check = [&path](const std::string& name, const Tensor& tensor) {
    dispatch_floating(tensor.dtype(), "check_finite", [&](auto zero) {
      const auto* values = tensor.data<decltype(zero)>();
      for (int64_t i = 0; i < tensor.numel(); ++i) {
        ESPALIER_CHECK(std::isfinite(values[i]),
                       IoError,
                       path.string(),
                       ": tensor '",
                       name,
                       "' holds ",
                       static_cast<double>(values[i]),
                       " at flat index ",
                       i);
      }
    });
  };
  for (const auto& [name, tensor] : file.tensors) {
    if (is_floating(tensor.dtype())) check(name, tensor);
  }
}

std::string file_fingerprint(const std::filesystem::path& path) {
  uint64_t hash = 14695981039346656037ull;
  for (const uint8_t byte : read_file(path, "weights")) hash = (hash ^ byte) * 1099511628211ull;
  std::string out;
  for (int shift = 60; shift >= 0; shift -= 4) out += "0123456789abcdef"[(hash >> shift) & 15];
  return out;
}

void set_kernel_chooser(const prune::OptionValues& values,
                        const std::filesystem::path& default_file) {
  const bool measure = values.text("kernels") == "measured";
  const std::filesystem::path given = values.text("kernel-times");
  const std::filesystem::path& file = given.empty() ? default_file : given;
  sparse::set_chooser_options({.measure = measure,
                               .file = !measure       ? std::filesystem::path()
                                       : file.empty() ? default_file
                                                      : file,
                               .require_sparse = values.flag("require-sparse")});
  const std::string& dense = values.text("dense");
  set_conv2d_algorithm(dense == "direct"      ? Conv2dAlgorithm::Direct
                       : dense == "winograd2" ? Conv2dAlgorithm::Winograd2
                       : dense == "winograd4" ? Conv2dAlgorithm::Winograd4
                                              : Conv2dAlgorithm::Auto);
}

void set_normalization(const prune::OptionValues& values, data::LoaderOptions& options) {
  ESPALIER_CHECK(values.text("mean").empty() == values.text("std").empty(),
                 ValueError,
                 "--mean and --std come together");
  const auto channels = [&](const std::string& option) {
    const std::vector<double> numbers = parse_numbers(option, values.text(option));
    return std::vector<float>(numbers.begin(), numbers.end());
  };
  options.mean = channels("mean");
  options.stddev = channels("std");
}

data::LoaderOptions evaluation_loader(const prune::OptionValues& values, int64_t batch) {
  data::LoaderOptions options;
  options.batch_size = batch;
  options.workers = static_cast<int>(values.integer("workers"));
  set_normalization(values, options);
  return options;
}

nlohmann::ordered_json count_json(const nn::ModelCount& count) {
  return {{"sparsity", count.sparsity()},
          {"params", count.total.params},
          {"params_nonzero", count.total.params_nonzero},
          {"macs_dense", count.total.macs_dense},
          {"macs_effective", count.total.macs_effective},
          {"macs_executed", count.total.macs_executed}};
}

nn::InferencePlan compile_network(Network& network, int64_t batch) {
  return nn::compile(
      *network.module, nn::example_input(network.name, network.options), {.batch = batch});
}

nlohmann::ordered_json measure(Network& network,
                               data::Loader& loader,
                               const nn::InferencePlan* plan) {
  const MacCounter executed;
  const auto start = std::chrono::steady_clock::now();
  const nn::Evaluation evaluation =
      plan == nullptr
          ? nn::evaluate(*network.module, loader)
          : nn::evaluate([&](const Tensor& images) { return plan->run(images); }, loader);
  const int64_t macs = executed.macs();
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  nlohmann::ordered_json out = {{"accuracy", evaluation.accuracy()},
                                {"correct", evaluation.correct},
                                {"total", evaluation.total},
                                {"loss", evaluation.loss}};
  out.update(count_json(nn::count_model(*network.module, network.image())));
  if (nn::is_gated(*network.module) && evaluation.total > 0) {  // the images decide
    out["macs_executed"] = macs / evaluation.total;
  } else if (plan != nullptr) {
    out["macs_executed"] = plan->macs();
  }
  out["images_per_second"] = seconds > 0.0 ? static_cast<double>(evaluation.total) / seconds : 0.0;
  return out;
}

}  // namespace espalier::experiments
