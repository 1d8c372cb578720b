// SPDX-License-Identifier: Apache-2.0
/// Which channels fired: what heads of gates learn from. Source: Elkerdawy, Elhoushi, Zhang, Ray,
/// arXiv 2110.08232.
#pragma once

#include <espalier/core/tensor.h>

namespace espalier::prune {

/// What becomes of the channel with which the mass is reached.
enum class Boundary : uint8_t {
  Kept,    ///< as in the paper
  Dropped  ///< as in its published code: what is beyond the mass (and 1e-5) goes
};

/// For every sample of activations a (N,K), not negative: ones at its strongest channels, down to
/// where they hold the share `mass` of its sum; of equal ones the first. Nothing of a sample of
/// zeros. In a's type, plain layout. Throws ShapeError.
Tensor fired_channels(const Tensor& activations, double mass, Boundary boundary = Boundary::Kept);

/// The same with the mass at which `share` of all N K entries are ones, rounded to the nearest:
/// those in front of which their sample has least.
Tensor most_fired(const Tensor& activations, double share);

}  // namespace espalier::prune
