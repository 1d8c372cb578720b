// SPDX-License-Identifier: Apache-2.0
/// LayerQuantizer: a form by which a convolution or linear layer computes in 8-bit integers. It
/// holds the range of the layer's input and decides, per call, how to compute; the numbers are
/// those of sparse/int8.h. Attaching, calibrating and training it is nn/quantize/quantize.h.
///
///   in training        input and weight are rounded in float32, gradients pass straight through
///   in evaluation      uint8 x int8 -> int32, skipping zero weights (sparse/kernels/int8_conv2d.h)
///   while calibrating  float32, and the input is shown to an observer
///
/// Batch norm stays a float32 layer behind: its factor would change the scales of output channels
/// alone, not one integer.
///
/// Source: Jacob et al., arXiv:1712.05877; straight-through: Bengio et al., arXiv:1308.3432.
#pragma once

#include <functional>
#include <memory>

#include <espalier/nn/forms/form.h>
#include <espalier/sparse/kernels/int8_conv2d.h>

namespace espalier::nn {

/// Saved with the network: `conv1.quantizer.range`.
class LayerQuantizer : public Form {
 public:
  LayerQuantizer();

  void visit(MemberVisitor& visitor) override;
  std::string describe() const override { return "LayerQuantizer(int8)"; }
  std::string kind() const override { return "int8"; }
  std::string_view member() const override { return "quantizer"; }
  bool has_sizes() const override { return false; }
  bool replaces_product() const override { return true; }
  /// Throws ValueError in evaluation before any calibration or training.
  Variable product(const Variable& x, const LayerProduct& layer) override;

  /// The grid of the present range. Throws ValueError as above.
  sparse::AffineGrid grid() const;
  /// Throws ValueError unless finite and in order.
  void set_range(double least, double largest);
  /// True when the range is of anything.
  bool calibrated() const;
  /// A frozen range does not follow training.
  void freeze(bool on) { frozen_ = on; }
  /// Until it is unset (empty), the layer computes in float32 and shows its input here.
  void set_observer(std::function<void(const Tensor& x)> observer) {
    observer_ = std::move(observer);
  }

 protected:
  /// x rounded to the grid, in float32. dx passes where x lies in the grid's range, and is 0
  /// elsewhere. In training, unless frozen, the range first follows x: the first batch sets it,
  /// then a moving average of its ends with factor 0.99.
  Variable forward(const Variable& x) override;
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<LayerQuantizer>(*this);
  }

 private:
  /// A weight made ready for the kernel, and what it was made of.
  struct Packed {
    Tensor source;
    sparse::Int8Weight weight;
    sparse::Int8Blocks blocks;
  };
  const Packed& packed(const Tensor& weight, const Shape& as, int64_t groups);
  bool is_looked_at() const;
  bool runs_integers(const Variable& x) const;
  Variable run_linear(const Variable& x, const LayerProduct& layer);
  Variable run_integers(const Variable& x,
                        const Parameter& weight,
                        const Parameter& bias,
                        const Shape& weight_shape,
                        const Conv2dOptions& options);

  Tensor range_;       // least and largest input
  Tensor calibrated_;  // 1 when range_ is of anything
  bool frozen_ = false;
  std::function<void(const Tensor&)> observer_;
  std::shared_ptr<const Packed> packed_;
};

/// The weight on its symmetric grids in float32, one scale per output channel; the gradient passes
/// unchanged. Zeros stay zero.
Variable fake_quantize_weight(const Variable& weight);

/// Least and largest element, 0 for none; padding lanes count as 0. Float32. Throws ValueError when
/// one is not finite.
std::pair<float, float> value_range(const Tensor& x);

}  // namespace espalier::nn
