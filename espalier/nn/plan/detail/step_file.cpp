// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/plan/detail/step_file.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include <espalier/nn/plan/steps/weights.h>
#include <espalier/sparse/support.h>

namespace espalier::nn::plan {
namespace {

using espalier::detail::json_excerpt;
using nlohmann::json;
using Tensors = std::map<std::string, Tensor>;

constexpr int64_t kMaxOption = 1 << 20;
// A weight may be as large as 2^26 numbers, or 64 for each byte of the file if that is more:
// nonzeros that promise a larger one are hostile.
constexpr int64_t kLeastWeights = int64_t{1} << 26;
constexpr int64_t kWeightsPerByte = 64;
// Above this density the nonzeros take more room than the whole weight.
constexpr double kMostNonzeros = 0.75;

// JSON has no infinity: a missing limit is none.
json write_limits(const Limits& limits) {
  json out = json::object();
  if (std::isfinite(limits.low)) out["low"] = limits.low;
  if (std::isfinite(limits.high)) out["high"] = limits.high;
  return out;
}

void write_gate(const Gate& gate, size_t number, json& out, Tensors& tensors) {
  if (gate.kind == GateKind::None) return;
  out["gate"] = {{"kind", name(gate.kind)}};
  if (gate.kind == GateKind::Channels) {
    out["gate"]["kept"] = gate.kept;
    tensors[tensor_key(number, "phi")] = gate.phi;
    tensors[tensor_key(number, "rho")] = gate.rho;
  } else {
    out["gate"]["parts"] = gate.parts;
    tensors[tensor_key(number, "least")] = gate.least;
    tensors[tensor_key(number, "scale")] = gate.scale;
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

// A guard is the number of a value; without one there is none.
void write_guards(const Step& step, json& out) {
  if (step.guard >= 0) out["guard"] = step.guard;
  if (step.join >= 0) out["join"] = step.join;
}

void write_rule(const BlockRule& rule, size_t number, json& out, Tensors& tensors) {
  out["least"] = rule.least;
  if (rule.hidden.defined()) {
    tensors[tensor_key(number, "hidden")] = rule.hidden;
    tensors[tensor_key(number, "hidden_bias")] = rule.hidden_bias;
  }
  tensors[tensor_key(number, "weight")] = rule.weight;
  tensors[tensor_key(number, "bias")] = rule.bias;
}

Gate read_gate(const json& in, size_t number, TensorBox& tensors) {
  Gate gate;
  gate.kind = parse_gate_kind(in.at("kind").get<std::string>());
  if (gate.kind == GateKind::Channels) {
    gate.kept = read_whole(in.at("kept"), 1, kMaxSize);
    gate.phi = tensors.take(tensor_key(number, "phi"), DType::F32);
    gate.rho = tensors.take(tensor_key(number, "rho"), DType::F32);
  } else if (gate.kind == GateKind::Positions) {
    gate.parts = read_whole(in.at("parts"), 2, kMaxSize);
    gate.least = tensors.take(tensor_key(number, "least"), DType::F32);
    gate.scale = tensors.take(tensor_key(number, "scale"), DType::F32);
  }
  return gate;
}

void read_product(const json& in, size_t number, TensorBox& tensors, Step& step) {
  const std::vector<int64_t> c = read_wholes(in.at("conv"), 7, 0, kMaxOption);
  step.conv = {
      .stride = {c[0], c[1]}, .padding = {c[2], c[3]}, .dilation = {c[4], c[5]}, .groups = c[6]};
  step.format = parse_format(in.at("format").get<std::string>());
  step.weight = read_weight(read_shape(in.at("weight")), number, tensors);
  if (tensors.has(tensor_key(number, "bias")))
    step.bias = tensors.take(tensor_key(number, "bias"), DType::F32);
  if (in.contains("gate")) step.gate = read_gate(in.at("gate"), number, tensors);
}

void read_runs(size_t number, TensorBox& tensors, Step& step) {
  const Tensor table = tensors.take(tensor_key(number, "runs"), DType::I32);
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

float read_finite(const json& value, std::string_view what) {
  const auto number = value.get<double>();
  ESPALIER_CHECK(std::abs(number) <= static_cast<double>(std::numeric_limits<float>::max()),
                 ValueError,
                 "expects a finite ",
                 what,
                 ", got ",
                 value.dump());
  return static_cast<float>(number);
}

PoolOptions read_pool(const json& in) {
  constexpr size_t kSquare = 3, kAll = 10;
  if (in.size() != kAll) {
    const std::vector<int64_t> p = read_wholes(in, kSquare, 0, kMaxOption);
    return {.kernel = p[0], .stride = p[1], .padding = p[2]};
  }
  const std::vector<int64_t> p = read_wholes(in, kAll, 0, kMaxOption);
  return {.kernel = {p[0], p[1]},
          .stride = {p[2], p[3]},
          .padding = {p[4], p[5]},
          .dilation = {p[6], p[7]},
          .ceil_mode = p[8] != 0,
          .count_include_pad = p[9] != 0};
}

BlockRule read_rule(const json& in, size_t number, TensorBox& tensors) {
  BlockRule rule;
  rule.least = read_finite(in.at("least"), "threshold");
  if (tensors.has(tensor_key(number, "hidden"))) {
    rule.hidden = tensors.take(tensor_key(number, "hidden"), DType::F32);
    rule.hidden_bias = tensors.take(tensor_key(number, "hidden_bias"), DType::F32);
  }
  rule.weight = tensors.take(tensor_key(number, "weight"), DType::F32);
  rule.bias = tensors.take(tensor_key(number, "bias"), DType::F32);
  return rule;
}

}  // namespace

std::string tensor_key(size_t step, std::string_view what) {
  return cat("step", step, ".", what);
}

TensorBox::TensorBox(Tensors tensors) : tensors_(std::move(tensors)) {
  int64_t bytes = 0;
  for (const auto& [name, tensor] : tensors_) bytes += tensor.nbytes();
  weights_left_ = std::max(kLeastWeights, kWeightsPerByte * bytes);
}

void TensorBox::count_weight(const Shape& shape) {
  weights_left_ -= shape.numel();
  ESPALIER_CHECK(weights_left_ >= 0, ValueError, "weights like ", shape, " are too large for it");
}

Tensor TensorBox::take(const std::string& name, DType dtype) {
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

void TensorBox::check_empty() const {
  ESPALIER_CHECK(tensors_.empty(),
                 ValueError,
                 "the tensor '",
                 tensors_.empty() ? std::string() : tensors_.begin()->first,
                 "' belongs to no step");
}

json write_shape(const Shape& shape) {
  json out = json::array();
  for (const int64_t size : shape) out.push_back(size);
  return out;
}

int64_t read_whole(const json& value, int64_t least, int64_t most) {
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

std::vector<int64_t> read_wholes(const json& list, size_t count, int64_t least, int64_t most) {
  ESPALIER_CHECK(list.is_array() && list.size() == count,
                 ValueError,
                 "expects a list of ",
                 count,
                 " numbers, got ",
                 json_excerpt(list));
  std::vector<int64_t> out;
  for (const json& value : list) out.push_back(read_whole(value, least, most));
  return out;
}

int read_id(const json& value) {
  return static_cast<int>(read_whole(value, 0, kMaxSize - 1));
}

Shape read_shape(const json& list) {
  ESPALIER_CHECK(list.is_array() && list.size() <= static_cast<size_t>(kMaxRank),
                 ValueError,
                 "expects a shape, got ",
                 json_excerpt(list));
  const std::vector<int64_t> sizes = read_wholes(list, list.size(), 1, kMaxSize);
  Shape shape{std::span<const int64_t>(sizes)};
  // Divided, not multiplied: the product of hostile sizes would overflow.
  int64_t room = kMaxSize;
  for (const int64_t size : sizes) {
    room /= size;
    ESPALIER_CHECK(room > 0, ValueError, "the shape ", shape, " is too large");
  }
  return shape;
}

std::string weight_name(const Tensors& tensors, size_t number) {
  const std::string nonzeros = tensor_key(number, "values");
  return tensors.contains(nonzeros) ? nonzeros : tensor_key(number, "weight");
}

void write_weight(const Tensor& weight, size_t number, Tensors& tensors) {
  if (sparse::nonzero_support(weight).density() <= kMostNonzeros) {
    PackedNonzeros packed = pack_nonzeros(weight);
    tensors[tensor_key(number, "values")] = std::move(packed.values);
    tensors[tensor_key(number, "gaps")] = std::move(packed.gaps);
  } else {
    tensors[tensor_key(number, "weight")] = weight;
  }
}

Tensor read_weight(const Shape& shape, size_t number, TensorBox& tensors) {
  tensors.count_weight(shape);
  if (tensors.has(tensor_key(number, "values"))) {
    const PackedNonzeros packed = {tensors.take(tensor_key(number, "values"), DType::F32),
                                   tensors.take(tensor_key(number, "gaps"), DType::U8)};
    return unpack_nonzeros(packed, shape);
  }
  Tensor weight = tensors.take(tensor_key(number, "weight"), DType::F32);
  ESPALIER_CHECK(weight.shape() == shape,
                 ValueError,
                 "the weight of step ",
                 number,
                 " is ",
                 weight.shape(),
                 ", not ",
                 shape);
  return weight;
}

json write_step(const Step& step, size_t number, Tensors& tensors) {
  json out = {{"kind", name(step.kind)},
              {"name", step.name},
              {"inputs", step.inputs},
              {"output", step.output}};
  if (step.limits.any()) out["limits"] = write_limits(step.limits);
  write_guards(step, out);
  if (step.kind == StepKind::Product) {
    const Conv2dOptions& c = step.conv;
    out["conv"] = {
        c.stride.h, c.stride.w, c.padding.h, c.padding.w, c.dilation.h, c.dilation.w, c.groups};
    out["format"] = name(step.format);
    out["weight"] = write_shape(step.weight.shape());
    write_weight(step.weight, number, tensors);
    if (step.bias.defined()) tensors[tensor_key(number, "bias")] = step.bias;
    write_gate(step.gate, number, out, tensors);
  } else if (step.kind == StepKind::Affine) {
    tensors[tensor_key(number, "scale")] = step.weight;
    tensors[tensor_key(number, "shift")] = step.bias;
  } else if (step.kind == StepKind::Copy) {
    std::vector<int64_t> runs;
    for (const CopyRun& r : step.runs) {
      runs.insert(runs.end(), {r.input, r.from, r.to, r.count, r.step});
    }
    tensors[tensor_key(number, "runs")] =
        Tensor::from({static_cast<int64_t>(step.runs.size()), 5}, runs).to(DType::I32);
  } else if (step.kind == StepKind::Decision) {
    write_rule(step.rule, number, out, tensors);
  } else if (step.kind == StepKind::Plain) {
    write_plain(step.plain, number, out, tensors);
  } else if (step.pool.kernel.h > 0) {
    out["pool"] = pool_numbers(step.pool);
  }
  return out;
}

Step read_step(const json& in, size_t number, TensorBox& tensors) {
  Step step;
  step.kind = parse_step_kind(in.at("kind").get<std::string>());
  step.name = in.at("name").get<std::string>();
  for (const json& input : in.at("inputs")) {
    step.inputs.push_back(read_id(input));
  }
  step.output = read_id(in.at("output"));
  if (in.contains("guard")) step.guard = read_id(in.at("guard"));
  if (in.contains("join")) step.join = read_id(in.at("join"));
  if (in.contains("limits")) {
    const json& limits = in.at("limits");
    if (limits.contains("low")) step.limits.low = read_finite(limits.at("low"), "limit");
    if (limits.contains("high")) step.limits.high = read_finite(limits.at("high"), "limit");
  }
  if (step.kind == StepKind::Product) {
    read_product(in, number, tensors, step);
  } else if (step.kind == StepKind::Affine) {
    step.weight = tensors.take(tensor_key(number, "scale"), DType::F32);
    step.bias = tensors.take(tensor_key(number, "shift"), DType::F32);
  } else if (step.kind == StepKind::Copy) {
    read_runs(number, tensors, step);
  } else if (step.kind == StepKind::Decision) {
    step.rule = read_rule(in, number, tensors);
  } else if (step.kind == StepKind::Plain) {
    step.plain = read_plain(in, number, tensors);
  } else if (in.contains("pool")) {
    step.pool = read_pool(in.at("pool"));
  }
  return step;
}

}  // namespace espalier::nn::plan
