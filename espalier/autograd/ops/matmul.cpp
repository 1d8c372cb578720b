// SPDX-License-Identifier: Apache-2.0
// matmul, bmm: out = a b over the last two dimensions.  dL/da = G b^T, dL/db = a^T G, summed over
// broadcast batches.
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/detail.h>
#include <espalier/core/kernels/gemm.h>

namespace espalier {
namespace {

/// `t` with the leading dimensions `batch` before its own last two.
Tensor with_batch(const Tensor& t, const Shape& batch) {
  Shape shape = batch;
  shape.push_back(t.size(-2));
  shape.push_back(t.size(-1));
  return t.shape() == shape ? t : t.expand(shape);
}

Variable product(const char* op, const Variable& a, const Variable& b) {
  detail::check_same_dtype(a, b, op);
  ESPALIER_CHECK(a.rank() >= 2 && b.rank() >= 2 && a.size(-1) == b.size(-2),
                 ShapeError,
                 op,
                 ": expects (..,M,K) x (..,K,N), got ",
                 a.shape(),
                 " x ",
                 b.shape(),
                 a.rank() >= 2 && b.rank() >= 2 && a.size(-1) == b.size(-1)
                     ? ". Did you mean the transposed right operand?"
                     : "");
  const auto leading = [](const Variable& v) {
    return v.shape().without(v.rank() - 1).without(v.rank() - 2);
  };
  const Shape batch = broadcast_shapes(leading(a), leading(b), op);
  Shape shape = batch;
  shape.push_back(a.size(-2));
  shape.push_back(b.size(-1));
  Tensor out = Tensor::empty(shape, a.dtype());
  gemm(with_batch(a.value().to(Layout::Nchw), batch),
       with_batch(b.value().to(Layout::Nchw), batch),
       out);
  // Each operand is saved only if the other one's gradient needs it.
  return record(op,
                std::move(out),
                {a, b},
                [op,
                 sa = detail::meta(a),
                 sb = detail::meta(b),
                 a = Saved(b.requires_grad() ? a : Variable()),
                 b = Saved(a.requires_grad() ? b : Variable())](const BackwardContext& ctx) {
                  std::vector<Variable> gradients(2);
                  if (ctx.needs[0]) {
                    const Variable full = product(op, ctx.grad, transpose(b, -1, -2));
                    gradients[0] = sum_to(full, sa.shape, sa.layout);
                  }
                  if (ctx.needs[1]) {
                    const Variable full = product(op, transpose(a, -1, -2), ctx.grad);
                    gradients[1] = sum_to(full, sb.shape, sb.layout);
                  }
                  return gradients;
                });
}

std::vector<double> naive_product(const OpSample& sample) {
  const Tensor &a = sample.inputs[0], &b = sample.inputs[1];
  const int64_t m = a.size(0), k = a.size(1), n = b.size(1);
  std::vector<double> out;
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0.0;
      for (int64_t p = 0; p < k; ++p) sum += a.at({i, p}) * b.at({p, j});
      out.push_back(sum);
    }
  }
  return out;
}

}  // namespace

Variable matmul(const Variable& a, const Variable& b) {
  ESPALIER_CHECK(a.rank() == 2 && b.rank() == 2,
                 ShapeError,
                 "matmul: expects two matrices, got ",
                 a.shape(),
                 " x ",
                 b.shape(),
                 ". bmm multiplies batches of matrices");
  return product("matmul", a, b);
}

Variable bmm(const Variable& a, const Variable& b) {
  return product("bmm", a, b);
}

OpInfo matmul_op() {
  const auto run = [](const std::vector<Variable>& in) { return matmul(in[0], in[1]); };
  const auto gram = [](const std::vector<Variable>& in) {
    return matmul(transpose(in[0], 0, 1), in[1]);
  };
  const auto naive = [](const OpSample& sample) {
    OpSample turned = sample;
    if (sample.name == "transposed") turned.inputs[0] = sample.inputs[0].transpose(0, 1);
    return naive_product(turned);
  };
  return {.name = "matmul",
          .rule = OpRule::Freezes,
          .samples = {{"square", {sample_tensor({3, 3}, 1), sample_tensor({3, 3}, 2)}, run},
                      {"wide", {sample_tensor({2, 5}, 3), sample_tensor({5, 3}, 4)}, run},
                      {"more rows than one block",
                       {sample_tensor({70, 2}, 5), sample_tensor({2, 2}, 6)},
                       run},
                      {"transposed", {sample_tensor({4, 2}, 7), sample_tensor({4, 3}, 8)}, gram},
                      {"column by row", {sample_tensor({3, 1}, 9), sample_tensor({1, 2}, 10)}, run},
                      {"inner size 0", {sample_tensor({2, 0}, 1), sample_tensor({0, 3}, 2)}, run},
                      {"no rows", {sample_tensor({0, 2}, 1), sample_tensor({2, 3}, 2)}, run}},
          .reference = naive,
          .order_depends_on_strides = true};
}

}  // namespace espalier
