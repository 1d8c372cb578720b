// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/kernels/linear/check.h>
#include <espalier/core/kernels/linear/linear.h>

namespace espalier {
namespace detail {

void check_linear(const Tensor& x,
                  const Tensor& weight,
                  const Tensor& bias,
                  const Tensor& y,
                  Layout layout,
                  std::string_view op) {
  ESPALIER_CHECK(x.rank() == 2 && weight.rank() == 2 && y.rank() == 2 &&
                     x.size(1) == weight.size(1) && y.size(1) == weight.size(0) &&
                     x.size(0) == y.size(0),
                 ShapeError,
                 op,
                 ": expects x (N,in), weight (out,in) and y (N,out), got ",
                 x.shape(),
                 ", ",
                 weight.shape(),
                 " and ",
                 y.shape());
  ESPALIER_CHECK(!bias.defined() || bias.shape() == Shape{weight.size(0)},
                 ShapeError,
                 op,
                 ": expects a bias of shape (",
                 weight.size(0),
                 "), got ",
                 bias);
  ESPALIER_CHECK(x.dtype() == weight.dtype() && x.dtype() == y.dtype() &&
                     (!bias.defined() || bias.dtype() == x.dtype()),
                 TypeError,
                 op,
                 ": expects one element type, got ",
                 x,
                 ", ",
                 weight,
                 ", ",
                 bias,
                 " and ",
                 y);
  ESPALIER_CHECK(x.layout() == layout && y.layout() == layout && weight.layout() == Layout::Nchw,
                 ShapeError,
                 op,
                 ": expects x and y in ",
                 name(layout),
                 " and a plain weight, got ",
                 x,
                 ", ",
                 y,
                 " and ",
                 weight);
}

}  // namespace detail

namespace reference {
namespace {

// The oracle may be slow: it reads every tensor as a vector of doubles in logical order.
std::vector<double> values(const Tensor& t) {
  return t.to_vector<double>();
}

void write(Tensor& out, const std::vector<double>& result) {
  out.copy_(Tensor::from(out.shape(), result));
}

}  // namespace

void linear_forward(const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& y) {
  detail::check_linear(x, weight, bias, y, x.layout(), "linear_forward");
  const int64_t n = x.size(0), ins = x.size(1), outs = y.size(1);
  const std::vector<double> vx = values(x), vw = values(weight);
  const std::vector<double> vb = bias.defined() ? values(bias) : std::vector<double>();
  std::vector<double> vy(static_cast<size_t>(n * outs), 0.0);
  for (int64_t s = 0; s < n; ++s) {
    for (int64_t o = 0; o < outs; ++o) {
      double sum = vb.empty() ? 0.0 : vb[static_cast<size_t>(o)];
      for (int64_t i = 0; i < ins; ++i) {
        sum += vw[static_cast<size_t>(o * ins + i)] * vx[static_cast<size_t>(s * ins + i)];
      }
      vy[static_cast<size_t>(s * outs + o)] = sum;
    }
  }
  write(y, vy);
}

void linear_backward_data(const Tensor& dy, const Tensor& weight, Tensor& dx) {
  detail::check_linear(dx, weight, {}, dy, dy.layout(), "linear_backward_data");
  const int64_t n = dx.size(0), ins = dx.size(1), outs = dy.size(1);
  const std::vector<double> vg = values(dy), vw = values(weight);
  std::vector<double> vx(static_cast<size_t>(n * ins), 0.0);
  for (int64_t s = 0; s < n; ++s) {
    for (int64_t o = 0; o < outs; ++o) {
      for (int64_t i = 0; i < ins; ++i) {
        vx[static_cast<size_t>(s * ins + i)] +=
            vw[static_cast<size_t>(o * ins + i)] * vg[static_cast<size_t>(s * outs + o)];
      }
    }
  }
  write(dx, vx);
}

void linear_backward_weight(const Tensor& x, const Tensor& dy, Tensor& dweight) {
  detail::check_linear(x, dweight, {}, dy, x.layout(), "linear_backward_weight");
  const int64_t n = x.size(0), ins = x.size(1), outs = dy.size(1);
  const std::vector<double> vx = values(x), vg = values(dy);
  std::vector<double> vw(static_cast<size_t>(outs * ins), 0.0);
  for (int64_t s = 0; s < n; ++s) {
    for (int64_t o = 0; o < outs; ++o) {
      for (int64_t i = 0; i < ins; ++i) {
        vw[static_cast<size_t>(o * ins + i)] +=
            vx[static_cast<size_t>(s * ins + i)] * vg[static_cast<size_t>(s * outs + o)];
      }
    }
  }
  write(dweight, vw);
}

}  // namespace reference
}  // namespace espalier
