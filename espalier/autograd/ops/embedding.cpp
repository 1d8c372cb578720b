// SPDX-License-Identifier: Apache-2.0
// embedding: rows of a table.  The gradient adds each row's share back: index_select and index_add.
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>

namespace espalier {

Variable embedding(const Variable& table, const Tensor& ids) {
  ESPALIER_CHECK(
      table.rank() == 2, ShapeError, "embedding: expects a table (V,D), got ", table.shape());
  ESPALIER_CHECK(ids.dtype() == DType::I64, TypeError, "embedding: expects int64 ids, got ", ids);
  const Tensor flat = ids.to(Layout::Nchw).reshape({ids.numel()});
  const int64_t* id = flat.data<int64_t>();
  for (int64_t i = 0; i < flat.numel(); ++i) {
    ESPALIER_CHECK(id[i] >= 0 && id[i] < table.size(0),
                   ValueError,
                   "embedding: ids[",
                   i,
                   "] (flat) is ",
                   id[i],
                   ", expected 0..",
                   table.size(0) - 1,
                   " for a table of ",
                   table.size(0),
                   " rows");
  }
  Shape shape = ids.shape();
  shape.push_back(table.size(1));
  return reshape(index_select(table, 0, flat), shape);
}

OpInfo embedding_op() {
  const auto of = [](const Shape& shape, const std::vector<int64_t>& ids) {
    const Tensor index = Tensor::from(shape, ids);
    return [index](const std::vector<Variable>& in) { return embedding(in[0], index); };
  };
  return {.name = "embedding",
          .rule = OpRule::Composed,
          .samples = {
              {"a batch of sequences", {sample_tensor({4, 3}, 1)}, of({2, 3}, {0, 3, 3, 1, 0, 0})},
              {"one id", {sample_tensor({2, 2}, 2)}, of({}, {1})},
              {"no ids", {sample_tensor({2, 2}, 3)}, of({0, 3}, {})},
              {"no columns", {sample_tensor({2, 0}, 4)}, of({2}, {1, 0})}}};
}

}  // namespace espalier
