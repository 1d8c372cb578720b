// SPDX-License-Identifier: Apache-2.0
// logsumexp: y = log sum e^a, computed as m + log sum e^(a - m) with m = max a.  d/da = e^(a - y).
#include <cmath>

#include <espalier/autograd/observer.h>
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/map.h>
#include <espalier/autograd/ops/vector_map.h>

namespace espalier {
namespace {

Tensor logsumexp_value(const Variable& a,
                       const std::vector<bool>& over,
                       const std::vector<int>& dims,
                       bool keepdim) {
  const NoGrad no_grad;
  const OpObserverScope unseen(nullptr);  // to whoever looks on it is one op
  if (detail::count_over(a.shape(), over) == 0) return log(sum(a, dims, keepdim)).value();
  // An infinite maximum would give inf - inf.
  const Tensor shift = detail::map(max(a, dims, true).value(), "logsumexp", [](auto m) {
    return std::isinf(m) ? decltype(m){0} : m;
  });
  const Tensor shifted =
      detail::map(a.value(), shift, "logsumexp", [](auto x, auto m) { return x - m; });
  const Tensor powers = detail::map(VectorFunction::Exp, shifted, "logsumexp");
  const Variable total = sum(Variable(powers), dims, true);
  const Tensor logs = detail::map(VectorFunction::Log, total.value(), "logsumexp");
  const Tensor result = detail::map(logs, shift, "logsumexp", [](auto l, auto m) { return l + m; });
  return keepdim ? result : sum(Variable(result), dims, false).value();
}

}  // namespace

Variable logsumexp(const Variable& a, const std::vector<int>& dims, bool keepdim) {
  const std::vector<bool> over = detail::reduced_dims(a.shape(), dims, "logsumexp");
  Tensor out = logsumexp_value(a, over, dims, keepdim);
  detail::describe_op([&] {
    return OpAttributes{{"dims", detail::dims_of(over)}, {"keepdim", int64_t{keepdim}}};
  });
  return record(
      "logsumexp",
      std::move(out),
      {a},
      [a = Saved(a), over](const BackwardContext& ctx) {
        const detail::Meta from = detail::meta(a);
        const Variable share = exp(sub(a, detail::repeat_along(ctx.output, over, from)));
        return std::vector<Variable>{mul(detail::repeat_along(ctx.grad, over, from), share)};
      },
      SaveOutput::Yes);
}

OpInfo logsumexp_op() {
  const auto over = [](std::vector<int> dims, bool keepdim) {
    return [=](const std::vector<Variable>& in) { return logsumexp(in[0], dims, keepdim); };
  };
  return {.name = "logsumexp",
          .rule = OpRule::Freezes,
          .attributes = {"dims", "keepdim"},
          .samples = {{"classes", {sample_tensor({17, 3}, 1, -3.0, 3.0)}, over({1}, false), {0}},
                      {"batch", {sample_tensor({17, 3}, 2)}, over({0}, true), {0}},
                      {"all", {sample_tensor({4, 2, 3}, 3)}, over({}, false), {0}},
                      {"planes", {sample_tensor({17, 2, 2, 2}, 4)}, over({2, 3}, true), {0}},
                      {"no columns", {sample_tensor({3, 0}, 6)}, over({0}, false)}}};
}

}  // namespace espalier
