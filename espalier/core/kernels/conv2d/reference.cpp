// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/kernels/conv2d/conv2d.h>
#include <espalier/core/parallel.h>

namespace espalier::reference {
namespace {

// The operand as plain contiguous float64: one set of loops then serves every type and layout.
Tensor plain64(const Tensor& a) {
  return a.to(Layout::Nchw).to(DType::F64).contiguous();
}

/// Kernel positions [first, last) that touch the input along one axis, for one output position.
struct TapRange {
  int64_t first;
  int64_t last;
};

TapRange taps_inside(int64_t start, int64_t dilation, int64_t kernel, int64_t size) {
  int64_t first = 0;
  int64_t last = kernel;
  while (first < last && start + first * dilation < 0) ++first;
  while (first < last && start + (last - 1) * dilation >= size) --last;
  return {first, last};
}

}  // namespace

void conv2d_forward(const Conv2dShape& shape,
                    const Tensor& x,
                    const Tensor& weight,
                    const Tensor& bias,
                    Tensor& y) {
  const int64_t cg = shape.c / shape.options.groups;
  const int64_t kg = shape.k / shape.options.groups;
  const Tensor x64 = plain64(x);
  const Tensor w64 = plain64(weight);
  const Tensor b64 = bias.defined() ? plain64(bias) : Tensor();
  Tensor y64 = Tensor::empty({shape.n, shape.k, shape.p, shape.q}, DType::F64);
  const double* px = x64.data<double>();
  const double* pw = w64.data<double>();
  const double* pb = b64.defined() ? b64.data<double>() : nullptr;
  double* py = y64.data<double>();
  parallel_for(shape.n * shape.k, 1, [&](int64_t begin, int64_t end) {
    for (int64_t nk = begin; nk < end; ++nk) {
      const int64_t ik = nk % shape.k;
      const double* x_group = px + (nk / shape.k * shape.c + ik / kg * cg) * shape.h * shape.w;
      const double* w_filter = pw + ik * cg * shape.r * shape.s;
      for (int64_t ip = 0; ip < shape.p; ++ip) {
        const int64_t top = ip * shape.options.stride.h - shape.options.padding.h;
        const TapRange rows = taps_inside(top, shape.options.dilation.h, shape.r, shape.h);
        for (int64_t iq = 0; iq < shape.q; ++iq) {
          const int64_t left = iq * shape.options.stride.w - shape.options.padding.w;
          const TapRange columns = taps_inside(left, shape.options.dilation.w, shape.s, shape.w);
          double sum = pb ? pb[ik] : 0.0;
          for (int64_t ic = 0; ic < cg; ++ic) {
            for (int64_t ir = rows.first; ir < rows.last; ++ir) {
              const double* x_row =
                  x_group + (ic * shape.h + top + ir * shape.options.dilation.h) * shape.w + left;
              const double* w_row = w_filter + (ic * shape.r + ir) * shape.s;
              for (int64_t is = columns.first; is < columns.last; ++is) {
                sum += x_row[is * shape.options.dilation.w] * w_row[is];
              }
            }
          }
          py[(nk * shape.p + ip) * shape.q + iq] = sum;
        }
      }
    }
  });
  y.copy_(y64);
}

void conv2d_backward_data(const Conv2dShape& shape,
                          const Tensor& dy,
                          const Tensor& weight,
                          Tensor& dx) {
  const int64_t cg = shape.c / shape.options.groups;
  const int64_t kg = shape.k / shape.options.groups;
  const Tensor dy64 = plain64(dy);
  const Tensor w64 = plain64(weight);
  Tensor dx64 = Tensor::zeros({shape.n, shape.c, shape.h, shape.w}, DType::F64);
  const double* pdy = dy64.data<double>();
  const double* pw = w64.data<double>();
  double* pdx = dx64.data<double>();
  parallel_for(shape.n * shape.c, 1, [&](int64_t begin, int64_t end) {
    for (int64_t nc = begin; nc < end; ++nc) {
      const int64_t ic = nc % shape.c;
      const int64_t group = ic / cg;
      double* plane = pdx + nc * shape.h * shape.w;
      for (int64_t ik = group * kg; ik < (group + 1) * kg; ++ik) {
        const double* filter = pw + (ik * cg + ic % cg) * shape.r * shape.s;
        const double* dy_plane = pdy + (nc / shape.c * shape.k + ik) * shape.p * shape.q;
        for (int64_t ip = 0; ip < shape.p; ++ip) {
          const int64_t top = ip * shape.options.stride.h - shape.options.padding.h;
          const TapRange rows = taps_inside(top, shape.options.dilation.h, shape.r, shape.h);
          for (int64_t iq = 0; iq < shape.q; ++iq) {
            const int64_t left = iq * shape.options.stride.w - shape.options.padding.w;
            const TapRange columns = taps_inside(left, shape.options.dilation.w, shape.s, shape.w);
            const double g = dy_plane[ip * shape.q + iq];
            for (int64_t ir = rows.first; ir < rows.last; ++ir) {
              double* row = plane + (top + ir * shape.options.dilation.h) * shape.w + left;
              for (int64_t is = columns.first; is < columns.last; ++is) {
                row[is * shape.options.dilation.w] += g * filter[ir * shape.s + is];
              }
            }
          }
        }
      }
    }
  });
  dx.copy_(dx64);
}

void conv2d_backward_weight(const Conv2dShape& shape,
                            const Tensor& x,
                            const Tensor& dy,
                            Tensor& dweight) {
  const int64_t cg = shape.c / shape.options.groups;
  const int64_t kg = shape.k / shape.options.groups;
  const Tensor x64 = plain64(x);
  const Tensor dy64 = plain64(dy);
  Tensor dw64 = Tensor::zeros({shape.k, cg, shape.r, shape.s}, DType::F64);
  const double* px = x64.data<double>();
  const double* pdy = dy64.data<double>();
  double* pdw = dw64.data<double>();
  parallel_for(shape.k * cg, 1, [&](int64_t begin, int64_t end) {
    for (int64_t kc = begin; kc < end; ++kc) {
      const int64_t ik = kc / cg;
      const int64_t ic = ik / kg * cg + kc % cg;
      double* filter = pdw + kc * shape.r * shape.s;
      for (int64_t in = 0; in < shape.n; ++in) {
        const double* plane = px + (in * shape.c + ic) * shape.h * shape.w;
        const double* dy_plane = pdy + (in * shape.k + ik) * shape.p * shape.q;
        for (int64_t ip = 0; ip < shape.p; ++ip) {
          const int64_t top = ip * shape.options.stride.h - shape.options.padding.h;
          const TapRange rows = taps_inside(top, shape.options.dilation.h, shape.r, shape.h);
          for (int64_t iq = 0; iq < shape.q; ++iq) {
            const int64_t left = iq * shape.options.stride.w - shape.options.padding.w;
            const TapRange columns = taps_inside(left, shape.options.dilation.w, shape.s, shape.w);
            const double g = dy_plane[ip * shape.q + iq];
            for (int64_t ir = rows.first; ir < rows.last; ++ir) {
              const double* row = plane + (top + ir * shape.options.dilation.h) * shape.w + left;
              for (int64_t is = columns.first; is < columns.last; ++is) {
                filter[ir * shape.s + is] += g * row[is * shape.options.dilation.w];
              }
            }
          }
        }
      }
    }
  });
  dweight.copy_(dw64);
}

}  // namespace espalier::reference
