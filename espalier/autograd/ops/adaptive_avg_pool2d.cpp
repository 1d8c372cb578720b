// SPDX-License-Identifier: Apache-2.0
// adaptive_avg_pool2d: the mean over out_h x out_w windows that cover the plane.  Linear, see
// avg_pool2d.cpp.
#include <espalier/autograd/observer.h>
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/pool_check.h>

namespace espalier {

Variable adaptive_avg_pool2d(const Variable& x, int64_t out_h, int64_t out_w) {
  detail::check_planes(x.shape(), "adaptive_avg_pool2d");
  ESPALIER_CHECK(out_h >= 1 && out_w >= 1,
                 ValueError,
                 "adaptive_avg_pool2d: expects an output of at least 1x1, got ",
                 out_h,
                 "x",
                 out_w);
  ESPALIER_CHECK(x.size(2) >= 1 && x.size(3) >= 1,
                 ShapeError,
                 "adaptive_avg_pool2d: the planes of ",
                 x.shape(),
                 " are empty");
  auto windows = std::make_shared<const PoolWindows>(
      PoolWindows{adaptive_windows(x.size(2), out_h), adaptive_windows(x.size(3), out_w)});
  detail::describe_op([&] { return OpAttributes{{"output", std::vector<int64_t>{out_h, out_w}}}; });
  return detail::mean_over_windows("adaptive_avg_pool2d", x, std::move(windows));
}

OpInfo adaptive_avg_pool2d_op() {
  const auto pool = [](int64_t h, int64_t w) {
    return [=](const std::vector<Variable>& in) { return adaptive_avg_pool2d(in[0], h, w); };
  };
  return {.name = "adaptive_avg_pool2d",
          .rule = OpRule::Pool,
          .attributes = {"output"},
          .samples = {{"whole plane", {sample_tensor({17, 2, 3, 4}, 1)}, pool(1, 1), {0}},
                      {"windows overlap", {sample_tensor({2, 1, 5, 7}, 2)}, pool(3, 2), {0}},
                      {"larger than the input", {sample_tensor({1, 2, 2, 3}, 3)}, pool(3, 3), {0}},
                      {"no samples", {sample_tensor({0, 2, 4, 4}, 4)}, pool(2, 2), {0}}}};
}

}  // namespace espalier
