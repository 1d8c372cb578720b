// SPDX-License-Identifier: Apache-2.0
// Plain steps as JSON and tensors. The weight of a product with few nonzeros goes as these.
#include <espalier/nn/plan/detail/step_file.h>
#include <espalier/nn/plan/steps/weights.h>

namespace espalier::nn::plan {
namespace {

using espalier::detail::json_excerpt;
using nlohmann::json;

/// A whole number, a real one, or a list. A real 2 is written with its point.
json write_attributes(const OpAttributes& attributes) {
  json out = json::object();
  for (const auto& [name, value] : attributes.all()) {
    std::visit([&](const auto& one) { out[name] = one; }, value);
  }
  return out;
}

OpAttributes read_attributes(const json& in) {
  ESPALIER_CHECK(in.is_object(), ValueError, "expects attributes, got ", json_excerpt(in));
  std::map<std::string, OpAttribute, std::less<>> out;
  for (const auto& [name, value] : in.items()) {
    if (value.is_array()) {
      out[name] = read_wholes(value, value.size(), -kMaxSize, kMaxSize);
    } else if (value.is_number_integer()) {
      out[name] = read_whole(value, -kMaxSize, kMaxSize);
    } else {
      out[name] = value.get<double>();
    }
  }
  return OpAttributes(std::move(out));
}

/// The weight is operand 1; the others are small.
std::string operand_key(size_t number, size_t operand) {
  return tensor_key(number, cat("operand", operand));
}

}  // namespace

void write_plain(const PlainCall& call,
                 size_t number,
                 json& out,
                 std::map<std::string, Tensor>& tensors) {
  out["op"] = call.op;
  out["attributes"] = write_attributes(call.attributes);
  out["operands"] = json::array();
  for (size_t i = 0; i < call.operands.size(); ++i) {
    out["operands"].push_back(write_shape(call.operands[i]));
    const Tensor& constant = call.constants[i];
    if (!constant.defined()) continue;
    if (i == 1 && call.has_weight()) {
      write_weight(constant, number, tensors);
    } else {
      tensors[operand_key(number, i)] = constant;
    }
  }
  out["result"] = write_shape(call.output);
  if (call.support) out["sparse"] = true;
}

PlainCall read_plain(const json& in, size_t number, TensorBox& tensors) {
  PlainCall call{.op = in.at("op").get<std::string>(),
                 .attributes = read_attributes(in.at("attributes")),
                 .output = read_shape(in.at("result"))};
  const json& operands = in.at("operands");
  ESPALIER_CHECK(
      operands.is_array(), ValueError, "expects shapes of operands, got ", json_excerpt(operands));
  call.constants.resize(operands.size());
  for (size_t i = 0; i < operands.size(); ++i) {
    call.operands.push_back(read_shape(operands[i]));
    if (i == 1 && call.has_weight()) {
      call.constants[i] = read_weight(call.operands[i], number, tensors);
    } else if (tensors.has(operand_key(number, i))) {
      call.constants[i] = tensors.take(operand_key(number, i), DType::F32);
    }
  }
  if (!in.value("sparse", false)) return call;
  ESPALIER_CHECK(call.has_weight(), ValueError, "step ", number, " has no weight to be sparse");
  call.support = std::make_shared<const sparse::Support>(sparse::nonzero_support(call.weight()));
  return call;
}

}  // namespace espalier::nn::plan
