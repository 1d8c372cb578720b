// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/loops.h>

namespace espalier {

Broadcast broadcast(const Tensor& a, const Tensor& b, std::string_view op) {
  Broadcast out{broadcast_shapes(a.shape(), b.shape(), op), Layout::Nchw};
  for (const Tensor* t : {&a, &b}) {
    if (t->layout() == Layout::Nchw16n && t->rank() == out.shape.rank() &&
        t->size(0) == out.shape[0]) {
      out.layout = Layout::Nchw16n;
    }
  }
  return out;
}

namespace detail {

Tensor operand_for(const Tensor& out, const Tensor& input) {
  ESPALIER_CHECK(broadcast_shapes(input.shape(), out.shape(), "element-wise loop") == out.shape(),
                 ShapeError,
                 "element-wise loop: ",
                 input,
                 " does not broadcast to ",
                 out);
  if (out.layout() == Layout::Nchw) return input.to(Layout::Nchw);
  const bool spans_batch = input.rank() == out.rank() && input.size(0) == out.size(0);
  if (spans_batch) return input.to(Layout::Nchw16n);
  return input.to(Layout::Nchw);
}

LoopPlan make_plan(const Tensor& out, std::initializer_list<const Tensor*> inputs) {
  const bool lanes = out.layout() == Layout::Nchw16n;
  const Tensor physical_out = out.physical();
  const int rank = physical_out.rank();

  LoopPlan full;
  full.operands = 1 + static_cast<int>(inputs.size());
  full.rank = rank;
  for (int d = 0; d < rank; ++d) {
    full.sizes[static_cast<size_t>(d)] = physical_out.shape()[d];
    full.strides[0][static_cast<size_t>(d)] = physical_out.strides()[d];
  }
  size_t k = 1;
  for (const Tensor* input : inputs) {
    const bool input_lanes = input->layout() == Layout::Nchw16n;
    const Tensor physical = input->physical();
    // A plain operand has no lane dimension, and its batch dimension, if any, has size 1.
    const int last = lanes && !input_lanes ? rank - 1 : rank;
    for (int d = 0; d < rank; ++d) {
      const int from = d - (last - physical.rank());
      const bool present = d < last && from >= 0 && physical.shape()[from] != 1;
      full.strides[k][static_cast<size_t>(d)] = present ? physical.strides()[from] : 0;
    }
    ++k;
  }

  // Merge neighbours that every operand walks through as one dimension; drop sizes of 1.
  LoopPlan plan;
  plan.operands = full.operands;
  for (int d = 0; d < rank; ++d) {
    const auto du = static_cast<size_t>(d);
    if (full.sizes[du] == 1) continue;
    bool merge = plan.rank > 0;
    for (size_t op = 0; merge && op < static_cast<size_t>(full.operands); ++op) {
      const int64_t outer = plan.strides[op][static_cast<size_t>(plan.rank - 1)];
      merge = outer == full.strides[op][du] * full.sizes[du];
    }
    const auto slot = static_cast<size_t>(merge ? plan.rank - 1 : plan.rank);
    plan.sizes[slot] = merge ? plan.sizes[slot] * full.sizes[du] : full.sizes[du];
    for (size_t op = 0; op < static_cast<size_t>(full.operands); ++op) {
      plan.strides[op][slot] = full.strides[op][du];
    }
    if (!merge) ++plan.rank;
  }
  if (plan.rank == 0) {
    plan.rank = 1;
    plan.sizes[0] = 1;
  }
  return plan;
}

void run_plan(const LoopPlan& plan,
              FunctionRef<void(const std::array<int64_t, kMaxOperands>&, int64_t, int64_t)> body) {
  const auto last = static_cast<size_t>(plan.rank - 1);
  const int64_t inner = plan.sizes[last];
  int64_t outer = 1;
  for (size_t d = 0; d < last; ++d) outer *= plan.sizes[d];
  if (outer == 0 || inner == 0) return;

  if (outer == 1) {
    parallel_for(inner, kLoopGrain, [&](int64_t begin, int64_t end) {
      std::array<int64_t, kMaxOperands> offsets{};
      for (size_t op = 0; op < static_cast<size_t>(plan.operands); ++op) {
        offsets[op] = begin * plan.strides[op][last];
      }
      body(offsets, 1, end - begin);
    });
    return;
  }
  const int64_t grain = std::max<int64_t>(1, kLoopGrain / inner);
  parallel_for(outer, grain, [&](int64_t begin, int64_t end) {
    std::array<int64_t, kMaxRank + 1> index{};
    std::array<int64_t, kMaxOperands> offsets{};
    int64_t rest = begin;
    for (size_t d = last; d-- > 0;) {
      index[d] = rest % plan.sizes[d];
      rest /= plan.sizes[d];
      for (size_t op = 0; op < static_cast<size_t>(plan.operands); ++op) {
        offsets[op] += index[d] * plan.strides[op][d];
      }
    }
    const size_t row = last - 1;
    for (int64_t i = begin; i < end;) {
      const int64_t rows = std::min(end - i, plan.sizes[row] - index[row]);
      body(offsets, rows, inner);
      i += rows;
      for (size_t op = 0; op < static_cast<size_t>(plan.operands); ++op) {
        offsets[op] -= index[row] * plan.strides[op][row];
      }
      index[row] = 0;
      for (size_t d = row; d-- > 0;) {
        const bool carry = ++index[d] == plan.sizes[d];
        for (size_t op = 0; op < static_cast<size_t>(plan.operands); ++op) {
          offsets[op] += plan.strides[op][d];
          if (carry) offsets[op] -= plan.sizes[d] * plan.strides[op][d];
        }
        if (!carry) break;
        index[d] = 0;
      }
    }
  });
}

}  // namespace detail
}  // namespace espalier
