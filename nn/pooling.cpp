// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/pooling.h>

namespace espalier::nn {

namespace {

std::string describe_pool(std::string_view kind, const PoolOptions& options) {
  std::string out = cat(kind, "(", options.kernel);
  if (options.stride != 0 && options.stride != options.kernel) {
    out += cat(", stride ", options.stride);
  }
  if (options.padding != 0) out += cat(", padding ", options.padding);
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
