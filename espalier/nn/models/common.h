// SPDX-License-Identifier: Apache-2.0
/// What the model families share: the usual convolutions, scaled widths, initial values. No model.
#pragma once

#include <string_view>

#include <espalier/nn/layers/conv2d.h>
#include <espalier/nn/module/module.h>

namespace espalier::nn::models {

/// `channels * width`, rounded to the nearest, at least 1. Throws ValueError unless width > 0.
int64_t scaled(int64_t channels, double width);

/// 3x3, padding 1, no bias.
Conv2d conv3x3(int64_t in, int64_t out, int64_t stride = 1);
/// 1x1, no bias.
Conv2d conv1x1(int64_t in, int64_t out, int64_t stride = 1);

/// Re-initializes every convolution weight of `model` as normal with variance 2 / fan_out. For a
/// model's `reset_parameters`. Source: He et al., arXiv:1502.01852, eq. 14.
void kaiming_convolutions(Module& model, const InitRng& rng);

/// Throws ValueError naming `model` when a side of the image is below `side`.
void check_image(std::string_view model, int64_t height, int64_t width, int64_t side);

}  // namespace espalier::nn::models
