// SPDX-License-Identifier: Apache-2.0
// A plan as a file: safetensors with the graph as JSON in the metadata (README.md has the format).
// What is read is checked like a graph that was just traced, before anything is made of it.
#include <algorithm>
#include <cmath>
#include <limits>
#include <new>

#include <espalier/core/detail/json.h>
#include <espalier/core/finite.h>
#include <espalier/core/safetensors.h>
#include <espalier/nn/plan/program.h>
#include <espalier/nn/plan/steps/weights.h>
#include <espalier/sparse/support.h>

namespace espalier::nn {
namespace {

using espalier::detail::json_excerpt;
using nlohmann::json;
using plan::CopyRun;
using plan::Gate;
using plan::GateKind;
using plan::Graph;
using plan::Limits;
using plan::Step;
using plan::StepKind;
using Tensors = std::map<std::string, Tensor>;

constexpr const char* kKey = "espalier_plan";
constexpr int kVersion = 1;
// No network comes near; a hostile file must not make sums overflow.
constexpr int64_t kMaxSize = int64_t{1} << 31;
constexpr int64_t kMaxOption = 1 << 20;
constexpr size_t kMaxSteps = 1 << 20;
// A weight may be as large as 2^26 numbers, or 64 for each byte of the file if that is more:
// nonzeros that promise a larger one are hostile.
constexpr int64_t kLeastWeights = int64_t{1} << 26;
constexpr int64_t kWeightsPerByte = 64;
// Above this density the nonzeros take more room than the whole weight.
constexpr double kMostNonzeros = 0.75;

std::string key(size_t step, std::string_view what) {
  return cat("step", step, ".", what);
}

json sizes_of(const Shape& shape) {
  json out = json::array();
  for (const int64_t size : shape) out.push_back(size);
  return out;
}

// JSON has no infinity: a missing limit is none.
json write_limits(const Limits& limits) {
  json out = json::object();
  if (std::isfinite(limits.low)) out["low"] = limits.low;
  if (std::isfinite(limits.high)) out["high"] = limits.high;
  return out;
}

void write_gate(const Gate& gate, size_t number, json& out, Tensors& tensors) {
  if (gate.kind == GateKind::None) return;
  out["gate"] = {{"kind", plan::name(gate.kind)}};
  if (gate.kind == GateKind::Channels) {
    out["gate"]["kept"] = gate.kept;
    tensors[key(number, "phi")] = gate.phi;
    tensors[key(number, "rho")] = gate.rho;
  } else {
    out["gate"]["parts"] = gate.parts;
    tensors[key(number, "least")] = gate.least;
    tensors[key(number, "scale")] = gate.scale;
  }
}

/// Kernel, stride and padding; with `{kernel h, w, stride h, w, ..}` where that does not say all.
std::vector<int64_t> pool_numbers(const PoolOptions& p) {
  const PoolOptions square{.kernel = p.kernel.h, .stride = p.stride.h, .padding = p.padding.h};
  if (p == square) return {p.kernel.h, p.stride.h, p.padding.h};
  return {p.kernel.h,
          p.kernel.w,
          p.stride.h,
          p.stride.w,
          p.padding.h,
          p.padding.w,
          p.dilation.h,
          p.dilation.w,
          p.ceil_mode ? 1 : 0,
          p.count_include_pad ? 1 : 0};
}

json write_step(const Step& step, size_t number, Tensors& tensors) {
  json out = {{"kind", plan::name(step.kind)},
              {"name", step.name},
              {"inputs", step.inputs},
              {"output", step.output}};
  if (step.limits.any()) out["limits"] = write_limits(step.limits);
  if (step.kind == StepKind::Product) {
    const Conv2dOptions& c = step.conv;
    out["conv"] = {
        c.stride.h, c.stride.w, c.padding.h, c.padding.w, c.dilation.h, c.dilation.w, c.groups};
    out["format"] = plan::name(step.format);
    out["weight"] = sizes_of(step.weight.shape());
    if (sparse::nonzero_support(step.weight).density() <= kMostNonzeros) {
      plan::PackedNonzeros packed = plan::pack_nonzeros(step.weight);
      tensors[key(number, "values")] = std::move(packed.values);
      tensors[key(number, "gaps")] = std::move(packed.gaps);
    } else {
      tensors[key(number, "weight")] = step.weight;
    }
    if (step.bias.defined()) tensors[key(number, "bias")] = step.bias;
    write_gate(step.gate, number, out, tensors);
  } else if (step.kind == StepKind::Affine) {
    tensors[key(number, "scale")] = step.weight;
    tensors[key(number, "shift")] = step.bias;
  } else if (step.kind == StepKind::Copy) {
    std::vector<int64_t> runs;
    for (const CopyRun& r : step.runs) {
      runs.insert(runs.end(), {r.input, r.from, r.to, r.count, r.step});
    }
    tensors[key(number, "runs")] =
        Tensor::from({static_cast<int64_t>(step.runs.size()), 5}, runs).to(DType::I32);
  } else if (step.pool.kernel.h > 0) {
    out["pool"] = pool_numbers(step.pool);
  }
  return out;
}

int64_t whole(const json& value, int64_t least, int64_t most) {
  ESPALIER_CHECK(
      value.is_number_integer(), ValueError, "expects a whole number, got ", json_excerpt(value));
  const auto number = value.get<int64_t>();
  ESPALIER_CHECK(number >= least && number <= most,
                 ValueError,
                 "expects a number from ",
                 least,
                 " to ",
                 most,
                 ", got ",
                 json_excerpt(value));
  return number;
}

std::vector<int64_t> wholes(const json& list, size_t count, int64_t least, int64_t most) {
  ESPALIER_CHECK(list.is_array() && list.size() == count,
                 ValueError,
                 "expects a list of ",
                 count,
                 " numbers, got ",
                 json_excerpt(list));
  std::vector<int64_t> out;
  for (const json& value : list) out.push_back(whole(value, least, most));
  return out;
}

Shape read_shape(const json& list) {
  ESPALIER_CHECK(list.is_array() && list.size() <= static_cast<size_t>(kMaxRank),
                 ValueError,
                 "expects a shape, got ",
                 json_excerpt(list));
  const std::vector<int64_t> sizes = wholes(list, list.size(), 1, kMaxSize);
  Shape shape{std::span<const int64_t>(sizes)};
  // Divided, not multiplied: the product of hostile sizes would overflow.
  int64_t room = kMaxSize;
  for (const int64_t size : sizes) {
    room /= size;
    ESPALIER_CHECK(room > 0, ValueError, "the shape ", shape, " is too large");
  }
  return shape;
}

/// The tensors of a file; each is to be taken once.
class TensorBox {
 public:
  explicit TensorBox(Tensors tensors) : tensors_(std::move(tensors)) {
    int64_t bytes = 0;
    for (const auto& [name, tensor] : tensors_) bytes += tensor.nbytes();
    weights_left_ = std::max(kLeastWeights, kWeightsPerByte * bytes);
  }
  /// Throws ValueError when all weights of the plan together are absurdly large for its file.
  void count_weight(const Shape& shape) {
    weights_left_ -= shape.numel();
    ESPALIER_CHECK(weights_left_ >= 0, ValueError, "weights like ", shape, " are too large for it");
  }
  bool has(const std::string& name) const { return tensors_.count(name) > 0; }
  Tensor take(const std::string& name, DType dtype) {
    const auto found = tensors_.find(name);
    ESPALIER_CHECK(found != tensors_.end(), ValueError, "the tensor '", name, "' is missing");
    Tensor tensor = std::move(found->second);
    tensors_.erase(found);
    ESPALIER_CHECK(tensor.dtype() == dtype,
                   ValueError,
                   "the tensor '",
                   name,
                   "' is ",
                   espalier::name(tensor.dtype()),
                   ", not ",
                   espalier::name(dtype));
    return tensor;
  }
  void check_empty() const {
    ESPALIER_CHECK(tensors_.empty(),
                   ValueError,
                   "the tensor '",
                   tensors_.empty() ? std::string() : tensors_.begin()->first,
                   "' belongs to no step");
  }

 private:
  Tensors tensors_;
  int64_t weights_left_ = 0;
};

Gate read_gate(const json& in, size_t number, TensorBox& tensors) {
  Gate gate;
  gate.kind = plan::parse_gate_kind(in.at("kind").get<std::string>());
  if (gate.kind == GateKind::Channels) {
    gate.kept = whole(in.at("kept"), 1, kMaxSize);
    gate.phi = tensors.take(key(number, "phi"), DType::F32);
    gate.rho = tensors.take(key(number, "rho"), DType::F32);
  } else if (gate.kind == GateKind::Positions) {
    gate.parts = whole(in.at("parts"), 2, kMaxSize);
    gate.least = tensors.take(key(number, "least"), DType::F32);
    gate.scale = tensors.take(key(number, "scale"), DType::F32);
  }
  return gate;
}

void read_product(const json& in, size_t number, TensorBox& tensors, Step& step) {
  const std::vector<int64_t> c = wholes(in.at("conv"), 7, 0, kMaxOption);
  step.conv = {
      .stride = {c[0], c[1]}, .padding = {c[2], c[3]}, .dilation = {c[4], c[5]}, .groups = c[6]};
  step.format = plan::parse_format(in.at("format").get<std::string>());
  const Shape shape = read_shape(in.at("weight"));
  tensors.count_weight(shape);
  if (tensors.has(key(number, "values"))) {
    const plan::PackedNonzeros packed = {tensors.take(key(number, "values"), DType::F32),
                                         tensors.take(key(number, "gaps"), DType::U8)};
    step.weight = plan::unpack_nonzeros(packed, shape);
  } else {
    step.weight = tensors.take(key(number, "weight"), DType::F32);
    ESPALIER_CHECK(step.weight.shape() == shape,
                   ValueError,
                   "the weight of step ",
                   number,
                   " is ",
                   step.weight.shape(),
                   ", not ",
                   shape);
  }
  if (tensors.has(key(number, "bias"))) step.bias = tensors.take(key(number, "bias"), DType::F32);
  if (in.contains("gate")) step.gate = read_gate(in.at("gate"), number, tensors);
}

void read_runs(size_t number, TensorBox& tensors, Step& step) {
  const Tensor table = tensors.take(key(number, "runs"), DType::I32);
  ESPALIER_CHECK(table.rank() == 2 && table.size(1) == 5,
                 ValueError,
                 "the copies of step ",
                 number,
                 " are ",
                 table.shape(),
                 ", not rows of 5");
  const int32_t* r = table.data<int32_t>();
  for (int64_t i = 0; i < table.size(0); ++i, r += 5) {
    step.runs.push_back({r[0], r[1], r[2], r[3], r[4]});
  }
}

float read_limit(const json& value) {
  const auto number = value.get<double>();
  ESPALIER_CHECK(std::abs(number) <= static_cast<double>(std::numeric_limits<float>::max()),
                 ValueError,
                 "expects a finite limit, got ",
                 value.dump());
  return static_cast<float>(number);
}

PoolOptions read_pool(const json& in) {
  constexpr size_t kSquare = 3, kAll = 10;
  if (in.size() != kAll) {
    const std::vector<int64_t> p = wholes(in, kSquare, 0, kMaxOption);
    return {.kernel = p[0], .stride = p[1], .padding = p[2]};
  }
  const std::vector<int64_t> p = wholes(in, kAll, 0, kMaxOption);
  return {.kernel = {p[0], p[1]},
          .stride = {p[2], p[3]},
          .padding = {p[4], p[5]},
          .dilation = {p[6], p[7]},
          .ceil_mode = p[8] != 0,
          .count_include_pad = p[9] != 0};
}

Step read_step(const json& in, size_t number, TensorBox& tensors) {
  Step step;
  step.kind = plan::parse_step_kind(in.at("kind").get<std::string>());
  step.name = in.at("name").get<std::string>();
  for (const json& input : in.at("inputs")) {
    step.inputs.push_back(static_cast<int>(whole(input, 0, kMaxSize - 1)));
  }
  step.output = static_cast<int>(whole(in.at("output"), 0, kMaxSize - 1));
  if (in.contains("limits")) {
    const json& limits = in.at("limits");
    if (limits.contains("low")) step.limits.low = read_limit(limits.at("low"));
    if (limits.contains("high")) step.limits.high = read_limit(limits.at("high"));
  }
  if (step.kind == StepKind::Product) {
    read_product(in, number, tensors, step);
  } else if (step.kind == StepKind::Affine) {
    step.weight = tensors.take(key(number, "scale"), DType::F32);
    step.bias = tensors.take(key(number, "shift"), DType::F32);
  } else if (step.kind == StepKind::Copy) {
    read_runs(number, tensors, step);
  } else if (in.contains("pool")) {
    step.pool = read_pool(in.at("pool"));
  }
  return step;
}

std::shared_ptr<const InferencePlan::Program> read_program(SafetensorsFile file,
                                                           const std::string& text) {
  const auto in = espalier::detail::parse_json<json>(text, "its description");
  ESPALIER_CHECK(in.at("version") == kVersion,
                 ValueError,
                 "version ",
                 json_excerpt(in.at("version")),
                 ", known is ",
                 kVersion);
  const int64_t batch = whole(in.at("batch"), 1, kMaxOption);
  Graph graph;
  const json& values = in.at("values");
  const json& steps = in.at("steps");
  ESPALIER_CHECK(values.is_array() && steps.is_array() && values.size() <= kMaxSteps &&
                     steps.size() <= kMaxSteps,
                 ValueError,
                 "expects lists of values and steps");
  for (const json& value : values) {
    graph.values.push_back({read_shape(value.at("shape")),
                            static_cast<int>(whole(value.at("storage"), 0, kMaxSize - 1))});
  }
  graph.output = static_cast<int>(whole(in.at("output"), 0, kMaxSize - 1));
  TensorBox tensors(std::move(file.tensors));
  for (size_t s = 0; s < steps.size(); ++s) {
    graph.steps.push_back(read_step(steps[s], s, tensors));
  }
  tensors.check_empty();
  return std::make_shared<InferencePlan::Program>(std::move(graph), batch);
}

}  // namespace

void InferencePlan::save(const std::filesystem::path& path) const {
  const Graph& graph = program_->graph;
  SafetensorsFile file;
  json values = json::array();
  for (const plan::Value& value : graph.values) {
    values.push_back({{"shape", sizes_of(value.shape)}, {"storage", value.storage}});
  }
  json steps = json::array();
  for (size_t s = 0; s < graph.steps.size(); ++s) {
    steps.push_back(write_step(graph.steps[s], s, file.tensors));
  }
  file.metadata[kKey] = json({{"version", kVersion},
                              {"batch", program_->batch},
                              {"values", values},
                              {"output", graph.output},
                              {"steps", steps}})
                            .dump();
  check_can_be_read(file.tensors, cat("plan: ", path.string()));
  save_safetensors(path, file);
}

InferencePlan InferencePlan::load(const std::filesystem::path& path) {
  SafetensorsFile file = load_safetensors(path);
  const auto entry = file.metadata.find(kKey);
  ESPALIER_CHECK(entry != file.metadata.end(),
                 IoError,
                 "plan: ",
                 path.string(),
                 " is not a compiled plan. Weights are compiled first (nn::compile)");
  const std::string text = entry->second;
  check_finite(file.tensors, cat("plan: ", path.string()));
  try {
    return InferencePlan(read_program(std::move(file), text));
  } catch (const json::exception& e) {
    throw IoError(
        cat("plan: ", path.string(), ": bad description: ", espalier::detail::json_words(e)));
  } catch (const Error& e) {
    throw IoError(cat("plan: ", path.string(), ": ", e.what()));
  } catch (const std::bad_alloc&) {
    throw IoError(cat("plan: ", path.string(), ": needs more memory than there is"));
  }
}

}  // namespace espalier::nn
