// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/inspect/inspect.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <espalier/core/error.h>
#include <espalier/core/io.h>
#include <espalier/core/npz.h>
#include <espalier/core/safetensors.h>
#include <espalier/experiments/figures.h>
#include <espalier/experiments/inputs/inputs.h>
#include <espalier/experiments/inputs/networks.h>
#include <espalier/experiments/run/checkpoint_seconds.h>
#include <espalier/experiments/run/outputs.h>
#include <espalier/experiments/run/run_folder.h>
#include <espalier/nn/plan/plan.h>

namespace espalier::experiments {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

template <class T>
int64_t zeros_in(const Tensor& tensor) {
  int64_t zeros = 0;
  for (const T value : tensor.to_vector<T>()) zeros += value == T{0} ? 1 : 0;
  return zeros;
}

Json tensor_json(const std::string& name, const Tensor& tensor) {
  Json out = {{"name", name},
              {"shape", sizes_of(tensor.shape())},
              {"dtype", std::string(espalier::name(tensor.dtype()))}};
  switch (tensor.dtype()) {
    case DType::F32:
      out["zeros"] = zeros_in<float>(tensor);
      break;
    case DType::F64:
      out["zeros"] = zeros_in<double>(tensor);
      break;
    case DType::U8:
      out["zeros"] = zeros_in<uint8_t>(tensor);
      break;
    default:
      break;
  }
  return out;
}

Json tensors_json(const std::map<std::string, Tensor>& tensors) {
  Json out = Json::array();
  for (const auto& [name, tensor] : tensors) out.push_back(tensor_json(name, tensor));
  return out;
}

void take_network(const fs::path& path, Json& out) {
  const Network network = load_network(path);
  const nn::ModelCount count = nn::count_model(*network.module, network.sample());
  out["network"] = network_settings(network);
  out["network"]["input"] = sizes_of(network.sample());
  out["network"]["classes"] = network.options.num_classes;
  if (!network.options.class_names.empty()) {
    out["network"]["class_names"] = network.options.class_names;
  }
  out["network"].update(count_json(count));
  out["layers"] = Json::array();
  for (const nn::LayerCount& layer : count.layers) {
    out["layers"].push_back({{"name", layer.name},
                             {"kind", layer.kind},
                             {"params", layer.params},
                             {"weights", layer.weights},
                             {"kept", layer.weights_nonzero},
                             {"sparsity", layer.sparsity()}});
  }
}

void take_checkpoint_state(const SafetensorsFile& file, Json& out) {
  const auto counters = file.tensors.find("progress/counters");
  if (counters == file.tensors.end()) return;
  std::map<std::string, Tensor> progress;
  for (const auto& [name, tensor] : file.tensors) {
    constexpr std::string_view kPrefix = "progress/";
    if (name.starts_with(kPrefix)) progress.emplace(name.substr(kPrefix.size()), tensor);
  }
  const nn::TrainProgress at = nn::TrainProgress::from_tensors(progress);
  out["training"] = {{"step", at.step + at.repeated},
                     {"epochs", RunFolder::checkpoint_metrics(file).size()},
                     {"seconds", checkpoint_seconds(file)}};
}

void take_plan(const fs::path& path, Json& out) {
  const nn::InferencePlan plan = nn::InferencePlan::load(path);
  out["plan"] = {{"input", sizes_of(plan.input_shape())},
                 {"output", sizes_of(plan.output_shape())},
                 {"batch", plan.batch()},
                 {"macs", plan.macs()},
                 {"weights", plan.weights() == nn::PlanWeights::BFloat16 ? "bfloat16" : "float32"},
                 {"weight_bytes", plan.weight_bytes()},
                 {"workspace_bytes", plan.workspace_bytes()}};
  out["steps"] = Json::array();
  for (const nn::PlanStep& step : plan.steps()) {
    out["steps"].push_back({{"name", step.name},
                            {"what", step.what},
                            {"input", sizes_of(step.input)},
                            {"output", sizes_of(step.output)},
                            {"format", step.format},
                            {"sparsity", 1.0 - step.density},
                            {"macs", step.macs},
                            {"bytes", step.nbytes}});
  }
}

void take_safetensors(const fs::path& path, Json& out) {
  const SafetensorsFile file = load_safetensors(path);
  const bool plan = file.metadata.contains("espalier_plan");
  const bool network = file.metadata.contains("architecture");
  const bool checkpoint = file.metadata.contains("metrics");
  out["kind"] = plan         ? "compiled plan"
                : network    ? "network"
                : checkpoint ? "checkpoint of a run"
                             : "tensors";
  out["checksum"] = file.checked ? "right" : "none";
  out["metadata"] = file.metadata;
  if (plan) take_plan(path, out);
  if (network) take_network(path, out);
  if (checkpoint) take_checkpoint_state(file, out);
  out["tensors"] = tensors_json(file.tensors);
  for (const auto& [name, type] : file.unreadable) {
    out["tensors"].push_back({{"name", name}, {"dtype", type}});
  }
}

std::string shape_text(const Json& shape) {
  std::string out;
  for (const Json& size : shape) out += (out.empty() ? "" : "x") + size.dump();
  return out.empty() ? "scalar" : out;
}

// A value of several lines, or a long one, is told by its size; `--json` has it whole.
std::string short_text(const std::string& value) {
  constexpr size_t kMost = 60;
  const bool fits = value.size() <= kMost && value.find('\n') == std::string::npos;
  return fits ? value : fmt::format("({} bytes)", grouped(static_cast<int64_t>(value.size())));
}

std::string value_text(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_array() && !value.empty() && value.front().is_string()) {
    std::string out;
    for (const Json& one : value) out += (out.empty() ? "" : ", ") + one.get<std::string>();
    return short_text(out);
  }
  if (value.is_array()) return shape_text(value);
  if (value.is_number_integer()) return grouped(value.get<int64_t>());
  return value.is_number() ? fmt::format("{:.6g}", value.get<double>()) : value.dump();
}

std::string part_text(const std::string& title, const Json& part) {
  std::string out = "\n" + title + "\n";
  for (const auto& [name, value] : part.items()) {
    out += fmt::format("  {:16} {}\n", name, short_text(value_text(value)));
  }
  return out;
}

}  // namespace

Json inspect(const fs::path& path) {
  ESPALIER_CHECK(!fs::is_directory(path),
                 IoError,
                 "inspect: expected a file, got the folder ",
                 path.string(),
                 "; of a run name its model.safetensors or state.safetensors");
  const std::string ending = path.extension().string();
  ESPALIER_CHECK(
      ending != ".onnx",
      NotImplemented,
      "inspect: ",
      path.string(),
      " is ONNX, which is not read here; expected safetensors (a network, a checkpoint, a "
      "plan), .edc, .npz or .npy. torch.onnx and safetensors.torch lead from one to the "
      "other");
  Json out = {{"path", path.string()}, {"kind", ""}, {"bytes", fs::file_size(path)}};
  if (file_kind(path) == FileKind::Compressed) {
    out["kind"] = "compressed network (.edc)";
    take_network(path, out);
  } else if (ending == ".npz") {
    out["kind"] = "arrays (.npz)";
    out["tensors"] = tensors_json(load_npz(path));
  } else if (ending == ".npy") {
    out["kind"] = "array (.npy)";
    out["tensors"] = Json::array({tensor_json(path.stem().string(), load_npy(path))});
  } else {
    take_safetensors(path, out);
  }
  return out;
}

std::string inspect_text(const Json& found) {
  std::string out = fmt::format("{}: {}, {} bytes\n",
                                found.at("path").get<std::string>(),
                                found.at("kind").get<std::string>(),
                                grouped(found.at("bytes").get<int64_t>()));
  for (const char* part : {"network", "training", "plan"}) {
    if (found.contains(part)) out += part_text(part, found.at(part));
  }
  if (found.contains("metadata") && !found.at("metadata").empty()) {
    out += part_text("metadata", found.at("metadata"));
  }
  if (found.contains("layers")) {
    std::vector<std::vector<std::string>> rows = {
        {"layer", "kind", "parameters", "weights", "kept", "sparsity"}};
    for (const Json& layer : found.at("layers")) {
      const int64_t weights = layer.at("weights").get<int64_t>();
      rows.push_back(
          {layer.at("name").get<std::string>(),
           layer.at("kind").get<std::string>(),
           grouped(layer.at("params").get<int64_t>()),
           weights == 0 ? "-" : grouped(weights),
           weights == 0 ? "-" : grouped(layer.at("kept").get<int64_t>()),
           weights == 0 ? "-" : fmt::format("{:.4f}", layer.at("sparsity").get<double>())});
    }
    out += "\n" + text_table(rows);
  }
  if (found.contains("steps")) {
    std::vector<std::vector<std::string>> rows = {
        {"step", "what", "input", "output", "format", "sparsity", "MACs"}};
    for (const Json& step : found.at("steps")) {
      rows.push_back({step.at("name").get<std::string>(),
                      step.at("what").get<std::string>(),
                      shape_text(step.at("input")),
                      shape_text(step.at("output")),
                      step.at("format").get<std::string>(),
                      fmt::format("{:.4f}", step.at("sparsity").get<double>()),
                      grouped(step.at("macs").get<int64_t>())});
    }
    out += "\n" + text_table(rows);
  }
  if (found.contains("tensors")) {
    std::vector<std::vector<std::string>> rows = {{"tensor", "shape", "type", "zeros"}};
    for (const Json& tensor : found.at("tensors")) {
      rows.push_back({tensor.at("name").get<std::string>(),
                      tensor.contains("shape") ? shape_text(tensor.at("shape")) : "?",
                      tensor.at("dtype").get<std::string>(),
                      tensor.contains("zeros") ? grouped(tensor.at("zeros").get<int64_t>()) : "-"});
    }
    out += "\n" + text_table(rows);
  }
  return out;
}

}  // namespace espalier::experiments
