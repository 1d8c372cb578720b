// SPDX-License-Identifier: Apache-2.0
// layer_norm: normalizes over the last dimensions.  It is group_norm of the rows (rows, features),
// each feature a channel of its own and all of them one group.
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>

namespace espalier {

Variable layer_norm(const Variable& x, const Variable& gamma, const Variable& beta, double eps) {
  const int first = x.rank() - gamma.rank();
  bool fits = gamma.rank() >= 1 && first >= 0 && beta.shape() == gamma.shape();
  for (int d = 0; fits && d < gamma.rank(); ++d) fits = x.size(first + d) == gamma.size(d);
  ESPALIER_CHECK(fits,
                 ShapeError,
                 "layer_norm: expects gamma and beta in the shape of x's last dimensions, got x ",
                 x.shape(),
                 ", gamma ",
                 gamma.shape(),
                 " and beta ",
                 beta.shape());
  const int64_t features = gamma.numel();
  int64_t rows = 1;
  for (int d = 0; d < first; ++d) rows *= x.size(d);
  const Variable flat = reshape(to_layout(x, Layout::Nchw), {rows, features});
  const Variable y =
      group_norm(flat, 1, reshape(gamma, {features}), reshape(beta, {features}), eps);
  return reshape(y, x.shape());
}

OpInfo layer_norm_op() {
  const auto run = [](const std::vector<Variable>& in) { return layer_norm(in[0], in[1], in[2]); };
  return {.name = "layer_norm",
          .rule = OpRule::Composed,
          .samples = {
              {"last dimension",
               {sample_tensor({17, 2, 4}, 1), sample_tensor({4}, 2), sample_tensor({4}, 3)},
               run,
               {0},
               true},
              {"last two dimensions",
               {sample_tensor({3, 2, 3}, 4), sample_tensor({2, 3}, 5), sample_tensor({2, 3}, 6)},
               run},
              {"everything",
               {sample_tensor({5}, 7), sample_tensor({5}, 8), sample_tensor({5}, 9)},
               run},
              {"no rows",
               {sample_tensor({0, 4}, 1), sample_tensor({4}, 2), sample_tensor({4}, 3)},
               run}}};
}

}  // namespace espalier
