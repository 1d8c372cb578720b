// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/train/contrastive.h>

#include <cmath>

#include <espalier/autograd/ops.h>

namespace espalier::nn {
namespace {

constexpr double kNever = -1e9;         // its exponential is exactly 0, and so is its gradient
constexpr double kLeastSquare = 1e-16;  // of a row's length, which is divided by

}  // namespace

Variable nt_xent_loss(const Variable& z, double temperature) {
  ESPALIER_CHECK(z.rank() == 2 && z.size(0) >= 2 && z.size(0) % 2 == 0,
                 ShapeError,
                 "nt_xent: expects both views of some images (2N,D), got ",
                 z.shape());
  ESPALIER_CHECK(temperature > 0.0 && std::isfinite(temperature),
                 ValueError,
                 "nt_xent: expects a temperature above 0, got ",
                 temperature);
  const int64_t rows = z.size(0);
  const Variable unit = z / sqrt(sum(z * z, {1}, true) + kLeastSquare);
  Tensor itself = Tensor::zeros({rows, rows}, DType::F64);
  Tensor partner = Tensor::empty({rows}, DType::I64);
  for (int64_t i = 0; i < rows; ++i) {
    itself.data<double>()[i * rows + i] = kNever;
    partner.data<int64_t>()[i] = (i + rows / 2) % rows;
  }
  const Variable alike = matmul(unit, permute(unit, {1, 0})) * (1.0 / temperature);
  return cross_entropy(alike + Variable(itself.to(z.dtype())), partner);
}

StepLoss TwoViews::loss(Module& model, const data::Batch& batch) {
  const Layout layout = batch.images.layout();
  const Variable first(views_(batch.images, 0).to(Layout::Nchw));
  const Variable second(views_(batch.images, 1).to(Layout::Nchw));
  const Tensor both = concat({first, second}, 0).value();
  return {nt_xent_loss(model(Variable(both.to(layout))), temperature_), {}};
}

}  // namespace espalier::nn
