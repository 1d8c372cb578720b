// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/layers/detail/layer.h>
#include <espalier/nn/layers/pooling.h>

namespace espalier::nn {

namespace {

std::string describe_pool(std::string_view kind, const PoolOptions& options) {
  std::string out = cat(kind, "(", detail::text(options.kernel));
  const Pair stride = {options.stride.h == 0 ? options.kernel.h : options.stride.h,
                       options.stride.w == 0 ? options.kernel.w : options.stride.w};
  if (stride != options.kernel) out += ", stride " + detail::text(stride);
  if (options.padding != Pair(0)) out += ", padding " + detail::text(options.padding);
  if (options.dilation != Pair(1)) out += ", dilation " + detail::text(options.dilation);
  if (options.ceil_mode) out += ", ceil";
  if (!options.count_include_pad) out += ", padding not counted";
  return out + ")";
}

}  // namespace

Variable MaxPool2d::forward(const Variable& x) {
  return max_pool2d(x, options_);
}
std::string MaxPool2d::describe() const {
  return describe_pool("MaxPool2d", options_);
}

Variable AvgPool2d::forward(const Variable& x) {
  return avg_pool2d(x, options_);
}
std::string AvgPool2d::describe() const {
  return describe_pool("AvgPool2d", options_);
}

Variable AdaptiveAvgPool2d::forward(const Variable& x) {
  return adaptive_avg_pool2d(x, out_h_, out_w_);
}
std::string AdaptiveAvgPool2d::describe() const {
  return cat("AdaptiveAvgPool2d(", out_h_, "x", out_w_, ")");
}

}  // namespace espalier::nn
