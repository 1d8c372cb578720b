// SPDX-License-Identifier: Apache-2.0
// mask_ste: a where the mask is set, else 0.  The gradient passes unchanged, to masked positions
// too.
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/core/loops.h>

namespace espalier {

Variable mask_ste(const Variable& a, const Tensor& mask) {
  ESPALIER_CHECK(
      mask.dtype() == DType::U8, TypeError, "mask_ste: expects an uint8 mask, got ", mask);
  ESPALIER_CHECK(mask.shape() == a.shape(),
                 ShapeError,
                 "mask_ste: expects a mask of the values' shape ",
                 a.shape(),
                 ", got ",
                 mask.shape());
  Tensor out = Tensor::empty_like(a.value());
  dispatch_floating(a.dtype(), "mask_ste", [&](auto zero) {
    using T = decltype(zero);
    map_into<T, T, uint8_t>(
        out, a.value(), mask, [](T x, uint8_t kept) { return kept != 0 ? x : T{0}; });
  });
  return record("mask_ste", std::move(out), {a}, [](const BackwardContext& ctx) {
    return std::vector<Variable>{ctx.grad};
  });
}

OpInfo mask_ste_op() {
  const auto run = [](const std::vector<Variable>& in) {
    Tensor mask = Tensor::zeros(in[0].shape(), DType::U8);
    for (int64_t i = 0; i < mask.numel(); i += 2) mask.data<uint8_t>()[i] = 1;
    return mask_ste(in[0], mask);
  };
  return {.name = "mask_ste",
          .rule = OpRule::Freezes,
          .gradient = OpGradient::StraightThrough,
          .samples = {{"rows", {sample_tensor({17, 3}, 1)}, run, {0}},
                      {"empty", {sample_tensor({0, 3}, 2)}, run, {0}}}};
}

}  // namespace espalier
