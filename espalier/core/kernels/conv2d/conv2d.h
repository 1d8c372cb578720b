// SPDX-License-Identifier: Apache-2.0
/// Raw two-dimensional convolution: shapes, a plain reference for every type and layout, and the
/// fast paths: float32 in `Nchw16n`, float64 in columns. Nothing is recorded here; see
/// autograd/ops/convolution.h.
#pragma once

#include <espalier/core/kernels/channel_map.h>
#include <espalier/core/tensor.h>

namespace espalier {

/// A height and a width.
struct Pair {
  int64_t h = 1;  ///< height
  int64_t w = 1;  ///< width
  Pair() = default;
  /// The same number twice.
  Pair(int64_t both) : h(both), w(both) {}  // NOLINT: implicit on purpose, `.stride = 2`
  /// Two numbers.
  Pair(int64_t height, int64_t width) : h(height), w(width) {}
  bool operator==(const Pair&) const = default;
};

/// How a convolution walks over its input.
struct Conv2dOptions {
  Pair stride = 1;     ///< steps between windows
  Pair padding = 0;    ///< zeros around the input
  Pair dilation = 1;   ///< distance of a window's taps
  int64_t groups = 1;  ///< in- and out-channels are cut into so many independent parts
};

/// All sizes of one convolution. N batch, C in-channels, H, W input plane, K out-channels, R, S
/// kernel, P, Q output plane.
struct Conv2dShape {
  int64_t n;              ///< samples
  int64_t c;              ///< input channels
  int64_t h;              ///< input rows
  int64_t w;              ///< input columns
  int64_t k;              ///< output channels
  int64_t r;              ///< kernel rows
  int64_t s;              ///< kernel columns
  int64_t p;              ///< output rows
  int64_t q;              ///< output columns
  Conv2dOptions options;  ///< how it walks
  /// Multiply-accumulates of one dense pass over the whole batch.
  int64_t macs() const { return n * k * p * q * (c / options.groups) * r * s; }
};

/// How dense convolutions with a fast path are computed.
enum class Conv2dAlgorithm : uint8_t {
  Auto,       ///< the fastest of them by the shape
  Direct,     ///< one product for every multiply-accumulate
  Winograd2,  ///< F(2x2, 3x3) wherever it applies: 3x3, stride, dilation and groups 1
  Winograd4,  ///< F(4x4, 3x3) wherever it applies; for its rounding see conv2d_winograd.h
};
/// Sets it for the process; `Auto` at the start. Not while convolutions run in other threads.
void set_conv2d_algorithm(Conv2dAlgorithm algorithm);
/// The algorithm in use.
Conv2dAlgorithm conv2d_algorithm();
/// The directions of a convolution.
enum class Conv2dPass : uint8_t { Forward, BackwardData, BackwardWeight };
/// Rows and columns of the tiles by which a dense float32 convolution in `Nchw16n` of this shape
/// runs now: 2 or 4 by Winograd's algorithm, 0 by direct products.
int winograd_tile(const Conv2dShape& shape, Conv2dPass pass);

/// Checks that input (N,C,H,W) and weight (K,C/groups,R,S) fit and computes the output plane.
/// Throws ShapeError naming `op`, with both shapes and a hint.
Conv2dShape conv2d_shape(const Shape& input,
                         const Shape& weight,
                         const Conv2dOptions& options,
                         std::string_view op);

/// y (N,K,P,Q) = x * weight + bias (bias may be undefined). Float32 or float64, x and y in one
/// layout, weight plain. y is overwritten. x may be read through a map: float32 in `Nchw16n` at no
/// pass over memory, others by way of a tensor.
void conv2d_forward(const Conv2dShape& shape,
                    const MappedTensor& x,
                    const Tensor& weight,
                    const Tensor& bias,
                    Tensor& y);
/// dx (N,C,H,W) from dy (N,K,P,Q); dx is overwritten.
void conv2d_backward_data(const Conv2dShape& shape,
                          const Tensor& dy,
                          const Tensor& weight,
                          Tensor& dx);
/// dweight (K,C/groups,R,S) from x, which may be read through a map, and dy; overwritten.
void conv2d_backward_weight(const Conv2dShape& shape,
                            const MappedTensor& x,
                            const Tensor& dy,
                            Tensor& dweight);

/// The same three, by plain loops with float64 sums: the oracle of the tests, and what runs where
/// no fast kernel exists.
namespace reference {
void conv2d_forward(
    const Conv2dShape& shape, const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& y);
void conv2d_backward_data(const Conv2dShape& shape,
                          const Tensor& dy,
                          const Tensor& weight,
                          Tensor& dx);
void conv2d_backward_weight(const Conv2dShape& shape,
                            const Tensor& x,
                            const Tensor& dy,
                            Tensor& dweight);
}  // namespace reference

}  // namespace espalier
