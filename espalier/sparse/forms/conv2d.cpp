// SPDX-License-Identifier: Apache-2.0
#include <espalier/sparse/forms/conv2d.h>

#include <espalier/core/allocation_log.h>
#include <espalier/core/mac_counter.h>
#include <espalier/sparse/forms/form.h>

namespace espalier::sparse {
namespace {

/// Throws ValueError when no sparse kernel exists for these operands, ShapeError when the support
/// has another shape than the weight.
void check(const Conv2dShape& shape,
           const Tensor& activations,
           const Support& support,
           std::string_view op) {
  const std::string missing =
      detail::missing_conv2d(shape, activations.dtype(), activations.layout());
  ESPALIER_CHECK(missing.empty(), ValueError, op, ": ", missing);
  const Shape expected = {shape.k, shape.c, shape.r, shape.s};
  const bool linear = shape.r * shape.s == 1 && support.shape() == Shape{shape.k, shape.c};
  ESPALIER_CHECK(linear || support.shape() == expected,
                 ShapeError,
                 op,
                 ": expects a support ",
                 expected,
                 ", got ",
                 support.shape());
}

void check_dweight(const Tensor& dweight, const Support& support) {
  ESPALIER_CHECK(dweight.shape() == Shape({support.nnz()}),
                 ShapeError,
                 "conv2d_backward: expects a dweight of ",
                 support.nnz(),
                 " kept values, got ",
                 dweight.shape());
}

void backward(const Conv2dShape& shape,
              const Support& support,
              const detail::BackwardOperands& operands) {
  const WorkspaceScope scope;
  detail::form_for(support, Pass::Backward).backward(shape, support, operands);
}

}  // namespace

namespace detail {

std::string missing_conv2d(const Conv2dShape& shape, DType dtype, Layout layout) {
  if (dtype != DType::F32) return cat("sparse kernels are for float32, not ", name(dtype));
  if (layout != Layout::Nchw16n) return "sparse kernels are for layout Nchw16n";
  if (shape.options.groups != 1) return "sparse kernels are for one group";
  if (shape.options.stride != Pair(1) && shape.options.stride != Pair(2)) {
    return "sparse kernels are for strides 1 and 2";
  }
  if (shape.n == 0) return "the batch is empty";
  return {};
}

void forward_by(const KernelForm& form,
                const Conv2dShape& shape,
                const MappedTensor& x,
                const Tensor& weight,
                const Support& support,
                const Tensor& bias,
                Tensor& y) {
  const WorkspaceScope scope;
  const Tensor b = bias.defined() ? bias.contiguous() : Tensor();
  const float* start = b.defined() ? b.data<float>() : nullptr;
  const TapConvolution conv = espalier::detail::forward_taps(shape);
  const auto forward = form.prepare(conv, lane_blocks(shape.n), support, weight);
  forward->run({MappedFloats(x), start, y.data<float>()});
  // Either can make something of the zeros that lanes without a sample hold.
  if (b.defined() || x.map != nullptr) zero_padding_lanes(y);
}

}  // namespace detail

void conv2d_forward(const Conv2dShape& shape,
                    const MappedTensor& x,
                    const Tensor& weight,
                    const Support& support,
                    const Tensor& bias,
                    Tensor& y) {
  check(shape, x.tensor, support, "conv2d");
  count_macs(shape.n * shape.p * shape.q * support.nnz());
  detail::forward_by(detail::form_for(support, Pass::Forward), shape, x, weight, support, bias, y);
}

void conv2d_backward_data(const Conv2dShape& shape,
                          const Tensor& dy,
                          const Tensor& weight,
                          const Support& support,
                          Tensor& dx) {
  check(shape, dy, support, "conv2d_backward_data");
  backward(shape, support, {.dy = dy, .weight = &weight, .dx = &dx});
}

void conv2d_backward_weight(const Conv2dShape& shape,
                            const MappedTensor& x,
                            const Tensor& dy,
                            const Support& support,
                            Tensor& dweight) {
  check(shape, x.tensor, support, "conv2d_backward_weight");
  check_dweight(dweight, support);
  backward(shape, support, {.x = &x.tensor, .x_map = x.map, .dy = dy, .dweight = &dweight});
}

void conv2d_backward(const Conv2dShape& shape,
                     const MappedTensor& x,
                     const Tensor& dy,
                     const Tensor& weight,
                     const Support& support,
                     Tensor& dx,
                     Tensor& dweight,
                     Result dx_result) {
  check(shape, x.tensor, support, "conv2d_backward");
  check_dweight(dweight, support);
  backward(shape,
           support,
           {.x = &x.tensor,
            .x_map = x.map,
            .dy = dy,
            .weight = &weight,
            .dx = &dx,
            .dx_result = dx_result,
            .dweight = &dweight});
}

void conv2d_backward(const Conv2dShape& shape,
                     const MappedTensor& x,
                     const Tensor& dy,
                     const Tensor& weight,
                     const Support& support,
                     Tensor& dx,
                     Tensor& dweight,
                     GatedResult& gate) {
  check(shape, x.tensor, support, "conv2d_backward");
  check_dweight(dweight, support);
  ESPALIER_CHECK(x.map != nullptr && x.map->relu,
                 ValueError,
                 "conv2d_backward: a gated dx expects an x that is read through a map with a ReLU");
  backward(shape,
           support,
           {.x = &x.tensor,
            .x_map = x.map,
            .dy = dy,
            .weight = &weight,
            .dx = &dx,
            .dweight = &dweight,
            .gate = &gate});
}

}  // namespace espalier::sparse
