// SPDX-License-Identifier: Apache-2.0
// split: cuts a dimension into pieces.  Made of slices, and so is its gradient.
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/detail.h>

namespace espalier {

std::vector<Variable> split(const Variable& a, const std::vector<int64_t>& sizes, int dim) {
  dim = a.shape().wrap(dim, "split");
  int64_t total = 0;
  for (int64_t size : sizes) {
    ESPALIER_CHECK(size >= 0, ShapeError, "split: negative size ", size);
    total += size;
  }
  ESPALIER_CHECK(total == a.size(dim),
                 ShapeError,
                 "split: sizes must add up to ",
                 a.size(dim),
                 ", the size of dimension ",
                 dim,
                 " of ",
                 a.shape(),
                 ", got ",
                 total);
  std::vector<Variable> pieces;
  int64_t begin = 0;
  for (int64_t size : sizes) {
    pieces.push_back(slice(a, dim, begin, begin + size));
    begin += size;
  }
  return pieces;
}

OpInfo split_op() {
  // Pieces are weighted differently, so that a mix-up of them shows.
  const auto run = [](std::vector<int64_t> sizes, int dim) {
    return [=](const std::vector<Variable>& in) {
      std::vector<Variable> pieces = split(in[0], sizes, dim);
      for (size_t i = 0; i < pieces.size(); ++i) pieces[i] = pieces[i] * static_cast<double>(i + 1);
      return concat(pieces, dim);
    };
  };
  return {.name = "split",
          .rule = OpRule::Composed,
          .samples = {{"channels", {sample_tensor({17, 4}, 1)}, run({1, 3}, 1), {0}},
                      {"samples", {sample_tensor({18, 2}, 2)}, run({16, 0, 2}, 0), {0}, true},
                      {"last dimension", {sample_tensor({2, 2, 3}, 3)}, run({1, 1, 1}, -1), {0}},
                      {"no samples", {sample_tensor({0, 3}, 4)}, run({1, 2}, 1), {0}}}};
}

}  // namespace espalier
