// SPDX-License-Identifier: Apache-2.0
/// Initial values of parameters. Every function takes its random generator; `init_parameters` gives
/// each parameter a stream of its own, derived from its name, so that a new layer does not change
/// the others.
#pragma once

#include <cstdint>

#include <espalier/core/random.h>
#include <espalier/nn/module/module.h>

namespace espalier::nn {

/// Resets every parameter of `model` to its layer's initial values and seeds every generator
/// (dropout). The numbers of a parameter depend on `seed` and its full name alone. Masks are kept,
/// gradients dropped.
void init_parameters(Module& model, uint64_t seed);

namespace init {

/// Which side of a weight keeps its variance.
enum class Fan : uint8_t { In, Out };
/// Inputs and outputs that meet in one unit of a weight (out, in, ..): in * r * s and out * r * s.
struct Fans {
  int64_t in = 0;   ///< inputs of a unit
  int64_t out = 0;  ///< outputs of a unit
};
/// Throws ShapeError for rank < 2.
Fans fans(const Shape& weight);

/// Normal with stddev gain / sqrt(fan); gain sqrt(2) suits ReLU. Source: arXiv:1502.01852, eq.
/// 10, 14.
void kaiming_normal(Parameter& weight,
                    Rng rng,
                    Fan fan = Fan::In,
                    double gain = 1.4142135623730951);
/// Uniform in +-gain * sqrt(3 / fan).
void kaiming_uniform(Parameter& weight,
                     Rng rng,
                     Fan fan = Fan::In,
                     double gain = 1.4142135623730951);
/// Normal with stddev gain * sqrt(2 / (fan_in + fan_out)). Source: Glorot, Bengio, AISTATS 2010,
/// eq. 16.
void xavier_normal(Parameter& weight, Rng rng, double gain = 1.0);
/// Uniform in +-gain * sqrt(6 / (fan_in + fan_out)).
void xavier_uniform(Parameter& weight, Rng rng, double gain = 1.0);
/// Rows (or columns, whichever are fewer) of the weight as a (out, in*r*s) matrix are orthonormal,
/// times gain. Source: Saxe et al., arXiv:1312.6120. Modified Gram-Schmidt in float64: O(out^2 *
/// in), for layers, not for large tables.
void orthogonal(Parameter& weight, Rng rng, double gain = 1.0);
/// A convolution (O, I/groups, R, S) that keeps the norm of whatever it is applied to, times gain,
/// on a plane whose edges meet (of fewer outputs than inputs: the transpose of such a one), with
/// values at all places of the kernel. Groups of one channel, of which only shifts do so, get rows
/// of norm gain. Of rank 2, and where R = S = 1, as `orthogonal`. Source: Xiao, Bahri,
/// Sohl-Dickstein, Schoenholz, Pennington, arXiv:1806.05393, algorithm 1.
/// (orthogonal_convolution.cpp)
void orthogonal_convolution(Parameter& weight, Rng rng, int64_t groups = 1, double gain = 1.0);
/// Normal, drawn again while farther than `limit` standard deviations from the mean.
void truncated_normal(
    Parameter& weight, Rng rng, double mean = 0.0, double stddev = 1.0, double limit = 2.0);
/// Normal.
void normal(Parameter& weight, Rng rng, double mean = 0.0, double stddev = 1.0);
/// Uniform in [low, high).
void uniform(Parameter& weight, Rng rng, double low, double high);
/// `value` everywhere.
void constant(Parameter& weight, double value);
/// 0 everywhere.
void zeros(Parameter& weight);
/// 1 everywhere.
void ones(Parameter& weight);

}  // namespace init

}  // namespace espalier::nn
