// SPDX-License-Identifier: Apache-2.0
// conv_transpose2d: the adjoint of a convolution as a layer: y[n,k,p,q] = b[k] + sum of w[c,k,r,s]
// x[n,c,h,w] over h stride - pad + r dil = p, w stride - pad + s dil = q.  Linear in x and in w, so
// d/dx = conv2d(dy, w), d/dw = conv2d_backward_weight(dy, x), d/db = sum of dy.
#include <espalier/autograd/observer.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/conv2d_detail.h>
#include <espalier/autograd/ops/detail.h>
#include <espalier/sparse/forms/conv2d.h>

namespace espalier {
namespace {

constexpr const char* kName = "conv_transpose2d";

Conv2dOptions convolution_of(const ConvTranspose2dOptions& o) {
  return {.stride = o.stride, .padding = o.padding, .dilation = o.dilation, .groups = o.groups};
}

void check_options(const Shape& x, const Shape& weight, const ConvTranspose2dOptions& o) {
  ESPALIER_CHECK(x.rank() == 4 && weight.rank() == 4 && o.groups >= 1 && x[1] == weight[0] &&
                     weight[0] % o.groups == 0,
                 ShapeError,
                 kName,
                 ": expects x (N,C,H,W) and a weight (C,K/groups,R,S), got ",
                 x,
                 " and ",
                 weight,
                 " with ",
                 o.groups,
                 " groups");
  const auto in_range = [](int64_t stride, int64_t padding, int64_t dilation, int64_t more) {
    return stride >= 1 && dilation >= 1 && padding >= 0 && more >= 0 &&
           more < std::max(stride, dilation);
  };
  ESPALIER_CHECK(
      in_range(o.stride.h, o.padding.h, o.dilation.h, o.output_padding.h) &&
          in_range(o.stride.w, o.padding.w, o.dilation.w, o.output_padding.w),
      ValueError,
      kName,
      ": expects stride and dilation >= 1, padding >= 0 and an output_padding below the larger of "
      "stride and dilation, got output_padding ",
      o.output_padding.h,
      "x",
      o.output_padding.w,
      " with stride ",
      o.stride.h,
      "x",
      o.stride.w,
      " and dilation ",
      o.dilation.h,
      "x",
      o.dilation.w);
}

}  // namespace

Shape conv_transpose2d_shape(const Shape& x, const Shape& weight, const ConvTranspose2dOptions& o) {
  check_options(x, weight, o);
  const auto size = [](int64_t in, int64_t taps, int64_t s, int64_t p, int64_t d, int64_t more) {
    return (in - 1) * s - 2 * p + d * (taps - 1) + more + 1;
  };
  const int64_t h =
      size(x[2], weight[2], o.stride.h, o.padding.h, o.dilation.h, o.output_padding.h);
  const int64_t w =
      size(x[3], weight[3], o.stride.w, o.padding.w, o.dilation.w, o.output_padding.w);
  ESPALIER_CHECK(x[2] > 0 && x[3] > 0 && h > 0 && w > 0,
                 ShapeError,
                 kName,
                 ": x ",
                 x,
                 " and a weight ",
                 weight,
                 " give an output plane of ",
                 h,
                 "x",
                 w,
                 "; a smaller padding helps");
  return {x[0], weight[1] * o.groups, h, w};
}

Variable conv_transpose2d(const Variable& x,
                          const Variable& weight,
                          const Variable& bias,
                          const ConvTranspose2dOptions& options,
                          const sparse::WeightSparsity& sparsity) {
  detail::check_same_dtype(x, weight, kName);
  if (bias.defined()) detail::check_same_dtype(x, bias, kName);
  const Shape out = conv_transpose2d_shape(x.shape(), weight.shape(), options);
  // A convolution of the output gives one more row for every whole stride of output padding: of
  // zeros of x, since nothing reaches there.
  const int64_t more_h = options.output_padding.h / options.stride.h;
  const int64_t more_w = options.output_padding.w / options.stride.w;
  if (more_h > 0 || more_w > 0) {
    ConvTranspose2dOptions rest = options;
    rest.output_padding.h %= options.stride.h;
    rest.output_padding.w %= options.stride.w;
    return conv_transpose2d(pad(x, {{2, 0, more_h}, {3, 0, more_w}}), weight, bias, rest, sparsity);
  }
  ESPALIER_CHECK(!bias.defined() || bias.shape() == Shape{out[1]},
                 ShapeError,
                 kName,
                 ": expects a bias (",
                 out[1],
                 "), got ",
                 bias.defined() ? bias.shape() : Shape());
  detail::check_support(sparsity, weight.shape(), kName);
  const Conv2dOptions conv = convolution_of(options);
  const Conv2dShape shape = conv2d_shape(out, weight.shape(), conv, kName);
  Tensor y = Tensor::empty(out, x.dtype(), x.layout());
  if (detail::runs_sparse(shape, x, sparsity, sparse::Pass::Backward)) {
    sparse::conv2d_backward_data(shape, x.value(), weight.value(), *sparsity.support, y);
  } else {
    espalier::conv2d_backward_data(shape, x.value(), weight.value(), y);
  }
  detail::describe_op([&] {
    return OpAttributes{{"stride", OpAttributes::list(options.stride)},
                        {"padding", OpAttributes::list(options.padding)},
                        {"output_padding", OpAttributes::list(options.output_padding)},
                        {"dilation", OpAttributes::list(options.dilation)},
                        {"groups", options.groups}};
  });
  const Variable product =
      record(kName,
             std::move(y),
             {x, weight},
             [conv,
              sparsity,
              w_shape = weight.shape(),
              x = Saved(weight.requires_grad() ? x : Variable()),
              weight = Saved(x.requires_grad() ? weight : Variable())](const BackwardContext& ctx) {
               return std::vector<Variable>{
                   ctx.needs[0] ? conv2d(ctx.grad, weight, {}, conv, sparsity) : Variable(),
                   ctx.needs[1]
                       ? conv2d_backward_weight(ctx.grad, x, w_shape, conv, sparsity.of_gradient())
                       : Variable()};
             });
  return bias.defined() ? product + reshape(bias, {out[1], 1, 1}) : product;
}

OpInfo conv_transpose2d_op() {
  struct Case {
    std::string name;
    Shape x, weight;
    ConvTranspose2dOptions options;
    bool masked = false;
  };
  const std::vector<Case> cases = {
      {"3x3", {2, 2, 4, 3}, {2, 3, 3, 3}, {}},
      {"batch 17", {17, 1, 2, 2}, {1, 2, 2, 2}, {.stride = 2}},
      {"doubles the plane",
       {2, 2, 3, 4},
       {2, 3, 3, 3},
       {.stride = 2, .padding = 1, .output_padding = 1}},
      {"uneven",
       {2, 1, 3, 4},
       {1, 2, 2, 3},
       {.stride = {3, 1}, .padding = {0, 1}, .output_padding = {2, 0}}},
      {"dilation",
       {1, 2, 3, 3},
       {2, 2, 2, 3},
       {.padding = 1, .output_padding = {2, 0}, .dilation = {3, 2}}},
      {"groups", {2, 4, 3, 2}, {4, 3, 3, 3}, {.stride = 2, .padding = 1, .groups = 2}},
      {"depthwise", {2, 3, 3, 2}, {3, 1, 3, 3}, {.padding = 1, .groups = 3}},
      {"masked", {2, 3, 3, 4}, {3, 2, 3, 3}, {.stride = 2, .padding = 1}, true},
      {"empty batch", {0, 2, 3, 3}, {2, 3, 3, 3}, {}}};
  OpInfo info;
  info.name = "conv_transpose2d";
  info.rule = OpRule::Freezes;
  info.attributes = {"stride", "padding", "output_padding", "dilation", "groups"};
  for (const Case& c : cases) {
    const sparse::WeightSparsity sparsity = detail::conv_sparsity(
        {.name = "", .x = {}, .weight = c.weight, .options = {}, .masked = c.masked});
    info.samples.push_back({c.name,
                            {sample_tensor(c.x, 1),
                             sample_tensor(c.weight, 2),
                             sample_tensor({c.weight[1] * c.options.groups}, 3)},
                            [c, sparsity](const std::vector<Variable>& in) {
                              const Variable weight =
                                  c.masked
                                      ? mul(in[1], detail::mask_constant(sparsity, in[1].dtype()))
                                      : in[1];
                              return conv_transpose2d(in[0], weight, in[2], c.options, sparsity);
                            },
                            {0}});
  }
  return info;
}

}  // namespace espalier
