// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/detail/mixing.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include <espalier/core/error.h>
#include <espalier/data/detail/sample_view.h>

namespace espalier::data::detail {
namespace {

double draw_gamma(Rng& rng, double shape) {
  if (shape < 1.0) {
    const double more = draw_gamma(rng, shape + 1.0);
    return more * std::pow(1.0 - rng.uniform64(), 1.0 / shape);
  }
  const double d = shape - 1.0 / 3.0;
  const double c = 1.0 / std::sqrt(9.0 * d);
  for (;;) {
    const double x = rng.normal();
    const double root = 1.0 + c * x;
    if (root <= 0.0) continue;
    const double v = root * root * root;
    if (std::log(1.0 - rng.uniform64()) < 0.5 * x * x + d - d * v + d * std::log(v)) return d * v;
  }
}

Tensor one_hot(const Tensor& labels, int64_t classes) {
  Tensor out = Tensor::zeros({labels.size(0), classes}, DType::F32);
  for (int64_t n = 0; n < labels.size(0); ++n) {
    out.data<float>()[n * classes + labels.data<int64_t>()[n]] = 1.0F;
  }
  return out;
}

}  // namespace

double draw_beta(Rng& rng, double alpha) {
  const double a = draw_gamma(rng, alpha);
  const double b = draw_gamma(rng, alpha);
  // Both can underflow where alpha is tiny: then either end is as likely.
  if (a + b <= 0.0) return rng.below(2) == 0 ? 0.0 : 1.0;
  return a / (a + b);
}

void check_alpha(const std::string& op, double alpha) {
  ESPALIER_CHECK(alpha > 0.0 && std::isfinite(alpha),
                 ValueError,
                 op,
                 ": expects an alpha above 0, got ",
                 alpha);
}

void with_partners(
    Tensor& images,
    const std::function<void(std::span<float> own, std::span<const float> other)>& mix) {
  const int64_t n = images.size(0);
  if (n == 0) return;
  const int64_t numel = images.numel() / n;
  const auto read = [&](int64_t sample, std::vector<float>& values) {
    const SampleView view = sample_view(images, sample, numel);
    for (int64_t i = 0; i < numel; ++i) values[static_cast<size_t>(i)] = view[i];
  };
  std::vector<float> before(static_cast<size_t>(numel));
  std::vector<float> own(static_cast<size_t>(numel));
  read(n - 1, before);
  for (int64_t sample = 0; sample < n; ++sample) {
    read(sample, own);
    const std::vector<float> as_it_was = own;
    mix(own, before);
    const SampleView view = sample_view(images, sample, numel);
    for (int64_t i = 0; i < numel; ++i) view[i] = own[static_cast<size_t>(i)];
    before = as_it_was;
  }
}

void mix_labels(Batch& batch, int64_t classes, double own_share) {
  const int64_t n = batch.labels.size(0);
  const Tensor given = batch.shares.defined() ? batch.shares : one_hot(batch.labels, classes);
  Tensor mixed = Tensor::empty({n, classes}, DType::F32);
  const float* in = given.data<float>();
  float* out = mixed.data<float>();
  for (int64_t sample = 0; sample < n; ++sample) {
    const int64_t partner = (sample + n - 1) % n;
    float* row = out + sample * classes;
    for (int64_t k = 0; k < classes; ++k) {
      row[k] = static_cast<float>(own_share * in[sample * classes + k] +
                                  (1.0 - own_share) * in[partner * classes + k]);
    }
    batch.labels.data<int64_t>()[sample] = std::max_element(row, row + classes) - row;
  }
  batch.shares = mixed;
}

}  // namespace espalier::data::detail
