// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/quantize/layer_quantizer.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include <espalier/autograd/observer.h>
#include <espalier/autograd/ops.h>
#include <espalier/nn/forms/kinds.h>

namespace espalier::nn {
namespace {

constexpr double kMovingAverage = 0.99;

bool same_values(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() &&
         std::memcmp(a.raw(), b.raw(), static_cast<size_t>(a.nbytes())) == 0;
}

}  // namespace

LayerQuantizer::LayerQuantizer() : range_(Tensor::zeros({2})), calibrated_(Tensor::zeros({})) {}

void LayerQuantizer::visit(MemberVisitor& visitor) {
  visitor.buffer("range", range_);
  visitor.buffer("calibrated", calibrated_);
}

bool LayerQuantizer::calibrated() const {
  return calibrated_.item() != 0.0;
}

void LayerQuantizer::set_range(double least, double largest) {
  (void)sparse::affine_grid(least, largest);  // throws for a bad range
  range_.copy_(Tensor::from<double>({2}, {least, largest}));
  calibrated_.fill_(1.0);
}

sparse::AffineGrid LayerQuantizer::grid() const {
  ESPALIER_CHECK(calibrated(),
                 ValueError,
                 "LayerQuantizer: the range of the layer's input is not known yet; calibrate the "
                 "network or train it");
  return sparse::affine_grid(range_.at({0}), range_.at({1}));
}

Variable LayerQuantizer::forward(const Variable& x) {
  if (training() && !frozen_) {
    const auto [least, largest] = value_range(x.value());
    if (calibrated()) {
      const auto follow = [](double old, double now) {
        return kMovingAverage * old + (1.0 - kMovingAverage) * now;
      };
      set_range(follow(range_.at({0}), least), follow(range_.at({1}), largest));
    } else {
      set_range(least, largest);
    }
  }
  const sparse::AffineGrid g = grid();
  const double inverse = 1.0F / g.scale;  // in float32, as the kernel has it
  const auto steps = clamp(x * inverse, -g.zero, 255 - g.zero);
  return round_ste(steps) * static_cast<double>(g.scale);
}

Variable LayerQuantizer::product(const Variable& x, const LayerProduct& layer) {
  if (observer_) observer_(x.value());
  if (observer_ || is_looked_at()) return Form::product(x, layer);
  const Parameter& weight = layer.weight;
  if (runs_integers(x)) {
    if (layer.conv == nullptr) return run_linear(x, layer);
    return run_integers(x, weight, layer.bias, weight.shape(), *layer.conv);
  }
  const Variable rounded = fake_quantize_weight(weight.value);
  if (layer.conv == nullptr)
    return linear(forward(x), rounded, layer.bias.value, weight.sparsity());
  return conv2d(forward(x), rounded, layer.bias.value, *layer.conv, weight.sparsity());
}

Variable LayerQuantizer::run_linear(const Variable& x, const LayerProduct& layer) {
  // A linear layer is a convolution of planes of one position.
  const int64_t in = layer.weight.shape()[1];
  const int64_t out = layer.weight.shape()[0];
  ESPALIER_CHECK(x.rank() >= 1 && x.size(-1) == in,
                 ShapeError,
                 "linear: expects x (.., ",
                 in,
                 "), got ",
                 x.shape());
  const bool lanes = x.layout() == Layout::Nchw16n && x.rank() == 2;
  const Tensor rows = lanes ? x.value() : x.value().to(Layout::Nchw).reshape({-1, in});
  const Tensor planes = rows.to(Layout::Nchw16n).reshape({rows.size(0), in, 1, 1});
  const Tensor y =
      run_integers(Variable(planes), layer.weight, layer.bias, {out, in, 1, 1}, {}).value();
  Shape shape = x.shape();
  shape[shape.rank() - 1] = out;
  const Tensor flat = y.reshape({rows.size(0), out});
  if (lanes) return Variable(flat);
  return Variable(flat.to(Layout::Nchw).reshape(shape).to(x.layout()));
}

bool LayerQuantizer::is_looked_at() const {
  // A trace before training wants channels and paths, not values; ranges are not known yet.
  return !training() && is_observed() && !calibrated();
}

bool LayerQuantizer::runs_integers(const Variable& x) const {
  // Whoever records or traces needs ops that can be differentiated and seen.
  return !training() && !is_recording() && !is_observed() && x.dtype() == DType::F32;
}

const LayerQuantizer::Packed& LayerQuantizer::packed(const Tensor& weight,
                                                     const Shape& as,
                                                     int64_t groups) {
  // Comparing costs far less than one pass over a batch, and never misses a change.
  if (!packed_ || !same_values(packed_->source, weight)) {
    sparse::Int8Weight q = sparse::quantize_weight(weight);
    q.shape = as;
    sparse::Int8Blocks blocks = sparse::int8_blocks(q, groups);
    packed_ =
        std::make_shared<const Packed>(Packed{weight.clone(), std::move(q), std::move(blocks)});
  }
  return *packed_;
}

Variable LayerQuantizer::run_integers(const Variable& x,
                                      const Parameter& weight,
                                      const Parameter& bias,
                                      const Shape& weight_shape,
                                      const Conv2dOptions& options) {
  const Conv2dShape shape = conv2d_shape(x.shape(), weight_shape, options, "conv2d");
  const Packed& ready = packed(weight.value.value(), weight_shape, options.groups);
  Tensor y = Tensor::empty({shape.n, shape.k, shape.p, shape.q}, DType::F32, Layout::Nchw16n);
  sparse::int8_conv2d(shape,
                      x.value().to(Layout::Nchw16n),
                      grid(),
                      ready.weight,
                      ready.blocks,
                      bias.defined() ? bias.value.value() : Tensor(),
                      y);
  return Variable(y.to(x.layout()));
}

PartKind int8_part() {
  return {.name = "int8", .make = [](const PartPlace&, const PartDescription&) {
            return std::make_shared<LayerQuantizer>();
          }};
}

Variable fake_quantize_weight(const Variable& weight) {
  const sparse::Int8Weight q = sparse::quantize_weight(weight.value().to(DType::F32));
  Shape shape = weight.shape();
  for (int d = 1; d < shape.rank(); ++d) shape[d] = 1;
  std::vector<float> inverse;
  for (const float scale : q.scale) inverse.push_back(1.0F / scale);
  const auto constant = [&](const std::vector<float>& values) {
    return Variable(Tensor::from<float>(shape, values).to(weight.dtype()));
  };
  // Within +-127 but for the last bit, as the scale is of the largest weight: a clamp there would
  // cut that weight's gradient off.
  return round_ste(weight * constant(inverse)) * constant(q.scale);
}

std::pair<float, float> value_range(const Tensor& x) {
  const Tensor values = x.physical().contiguous().to(DType::F32);
  const float* v = values.data<float>();
  float least = 0.0F;
  float largest = 0.0F;
  bool finite = true;
  for (int64_t i = 0; i < values.numel(); ++i) {
    least = v[i] < least || i == 0 ? v[i] : least;
    largest = v[i] > largest || i == 0 ? v[i] : largest;
    finite = finite && std::isfinite(v[i]);
  }
  ESPALIER_CHECK(finite, ValueError, "quantize: a layer's input is not finite");
  return {least, largest};
}

}  // namespace espalier::nn
