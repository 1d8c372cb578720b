// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/models/common.h>

#include <algorithm>
#include <cmath>

#include <espalier/nn/module/init.h>

namespace espalier::nn::models {

int64_t scaled(int64_t channels, double width) {
  ESPALIER_CHECK(width > 0.0 && std::isfinite(width),
                 ValueError,
                 "make_model: width expects a positive number, got ",
                 width);
  return std::max<int64_t>(1, std::llround(static_cast<double>(channels) * width));
}

Conv2d conv3x3(int64_t in, int64_t out, int64_t stride) {
  return Conv2d({.in_channels = in,
                 .out_channels = out,
                 .kernel = 3,
                 .stride = stride,
                 .padding = 1,
                 .bias = false});
}

Conv2d conv1x1(int64_t in, int64_t out, int64_t stride) {
  return Conv2d(
      {.in_channels = in, .out_channels = out, .kernel = 1, .stride = stride, .bias = false});
}

void kaiming_convolutions(Module& model, const InitRng& rng) {
  for (const NamedParameter& p : model.named_parameters()) {
    if (p.parameter->shape().rank() == 4) {
      init::kaiming_normal(*p.parameter, rng(p.name), init::Fan::Out);
    }
  }
}

void check_image(std::string_view model, int64_t height, int64_t width, int64_t side) {
  ESPALIER_CHECK(height >= side && width >= side,
                 ValueError,
                 "make_model: ",
                 model,
                 " expects images of at least ",
                 side,
                 "x",
                 side,
                 ", got ",
                 height,
                 "x",
                 width);
}

}  // namespace espalier::nn::models
