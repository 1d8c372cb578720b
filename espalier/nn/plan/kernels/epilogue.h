// SPDX-License-Identifier: Apache-2.0
/// What a product does to its sums before they are results: add the residual, keep within limits.
/// THE place for it: each driver calls `finish` on what one task wrote, while that is still in L2.
/// A micro-kernel that does the same to its registers replaces those calls. Not a public interface.
#pragma once

#include <espalier/nn/plan/steps/graph.h>

namespace espalier::nn::plan {

/// y = limited(y + residual) on `planes` runs of `positions` vectors of 16, `plane_stride` floats
/// apart in both; a null residual is none.
struct Epilogue {
  Limits limits;
  bool adds = false;
  bool any() const { return adds || limits.any(); }
};
void finish(const Epilogue& epilogue,
            const float* residual,
            int64_t planes,
            int64_t plane_stride,
            int64_t positions,
            float* y);
/// y = limited(y * factor + residual) on one such run; `factor`: a vector of 16, or null for zeros.
/// Where it is 0 so is the product, whatever y holds: a lane has the bits that it has alone.
void finish_scaled(
    const Limits& limits, const float* factor, const float* residual, int64_t positions, float* y);

}  // namespace espalier::nn::plan
