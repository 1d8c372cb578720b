// SPDX-License-Identifier: Apache-2.0
// Dense convolution in sixteen lanes, forward and backward-data. See conv2d_lanes_weight.cpp for
// the third direction.
#include <espalier/core/kernels/conv2d/lanes.h>

#include <espalier/core/kernels/conv2d/strips.h>
#include <espalier/core/parallel.h>

namespace espalier::detail {
namespace {

void run_tap_convolution(const TapConvolution& conv,
                         const WeightStrides& strides,
                         const MappedFloats& x,
                         const float* weight,
                         const float* bias,
                         float* y,
                         int64_t blocks) {
  const ConvStrips strips(conv, blocks, x.map != nullptr);
  const Tensor packed = strips.pack(weight, strides);
  parallel_for(strips.tasks(blocks), 1, [&](int64_t begin, int64_t end) {
    Tensor scratch = Tensor::empty({strips.scratch_size()});
    for (int64_t task = begin; task < end; ++task) {
      strips.run(task, x, packed.data<float>(), bias, y, scratch.data<float>());
    }
  });
}

}  // namespace

void conv2d_forward_lanes(const Conv2dShape& shape,
                          const MappedTensor& x,
                          const Tensor& weight,
                          const Tensor& bias,
                          Tensor& y) {
  run_tap_convolution(forward_taps(shape),
                      forward_strides(shape),
                      MappedFloats(x),
                      weight.data<float>(),
                      bias.defined() ? bias.data<float>() : nullptr,
                      y.data<float>(),
                      lane_blocks(shape.n));
  if (bias.defined() || x.map != nullptr) zero_padding_lanes(y);
}

void conv2d_backward_data_lanes(const Conv2dShape& shape,
                                const Tensor& dy,
                                const Tensor& weight,
                                Tensor& dx) {
  const BackwardDataTaps taps = backward_data_taps(shape);
  if (!taps.all_reached) dx.fill_(0.0);
  for (const TapConvolution& conv : taps.classes) {
    run_tap_convolution(conv,
                        backward_data_strides(shape),
                        dy.data<float>(),
                        weight.data<float>(),
                        nullptr,
                        dx.data<float>(),
                        lane_blocks(shape.n));
  }
}

}  // namespace espalier::detail
