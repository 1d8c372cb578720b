// SPDX-License-Identifier: Apache-2.0
#include <espalier/autograd/op_list.h>

#include <map>

#include <espalier/core/random.h>

namespace espalier {

#define ESPALIER_OP(op) OpInfo op##_op();
#include <espalier/autograd/ops.inc>
#undef ESPALIER_OP

const std::vector<OpInfo>& op_list() {
  static const std::vector<OpInfo> list = {
#define ESPALIER_OP(op) op##_op(),
#include <espalier/autograd/ops.inc>
#undef ESPALIER_OP
  };
  return list;
}

const OpInfo* find_op(std::string_view name) {
  static const std::map<std::string_view, const OpInfo*> by_name = [] {
    std::map<std::string_view, const OpInfo*> result;
    for (const OpInfo& op : op_list()) result.emplace(op.name, &op);
    return result;
  }();
  const auto found = by_name.find(name);
  return found == by_name.end() ? nullptr : found->second;
}

Tensor sample_tensor(const Shape& shape, uint64_t seed, double low, double high) {
  Tensor tensor = Tensor::empty(shape, DType::F64);
  Rng rng(seed, "op samples");
  fill_uniform_(tensor, rng, low, high);
  return tensor;
}

}  // namespace espalier
