// SPDX-License-Identifier: Apache-2.0
// kl_divergence: sum over classes of p (log p - log_q), mean over the batch.  Where p is 0 the term
// is 0.
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/detail.h>
#include <espalier/core/loops.h>

namespace espalier {

Variable kl_divergence(const Variable& log_q, const Variable& p) {
  detail::check_same_dtype(log_q, p, "kl_divergence");
  ESPALIER_CHECK(log_q.rank() == 2 && p.shape() == log_q.shape(),
                 ShapeError,
                 "kl_divergence: expects log_q and p of one shape (N,C), got ",
                 log_q.shape(),
                 " and ",
                 p.shape());
  Tensor positive = Tensor::empty(p.shape(), DType::U8, p.layout());
  dispatch_floating(p.dtype(), "kl_divergence", [&](auto zero) {
    using T = decltype(zero);
    map_into<uint8_t, T>(positive, p.value(), [](T x) -> uint8_t { return x > T{0}; });
  });
  // Where p is 0 the logarithm sees 1, and log_q is taken as 0: neither 0 * log 0 nor 0 times an
  // infinite log_q arises, nor their derivatives.
  const Variable log_p = log(where(positive, p, Variable(Tensor::ones({}, p.dtype()))));
  const Variable seen = where(positive, log_q, Variable(Tensor::zeros({}, p.dtype())));
  return sum(p * (log_p - seen)) * (1.0 / static_cast<double>(p.size(0)));
}

OpInfo kl_divergence_op() {
  const auto run = [](const std::vector<Variable>& in) { return kl_divergence(in[0], in[1]); };
  return {.name = "kl_divergence",
          .rule = OpRule::Composed,
          .samples = {
              {"batch",
               {sample_tensor({17, 3}, 1, -3, 0), sample_tensor({17, 3}, 2, 0.1, 1)},
               run,
               {0, 1}},
              {"one sample",
               {sample_tensor({1, 4}, 3, -3, 0), sample_tensor({1, 4}, 4, 0.1, 1)},
               run,
               {0}},
              {"no samples", {sample_tensor({0, 4}, 5), sample_tensor({0, 4}, 6)}, run, {0, 1}}}};
}

}  // namespace espalier
