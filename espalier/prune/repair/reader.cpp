// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/repair/reader.h>

#include <espalier/prune/curvature/gram.h>

namespace espalier::prune {

const SitePart* only_reader(const Site& site) {
  const SitePart* found = nullptr;
  for (const SitePart& part : site.parts) {
    if (part.role != SliceRole::Consumer || part.parameter->shape().rank() < 2) continue;
    if (found != nullptr) return nullptr;
    found = &part;
  }
  return found;
}

std::vector<int64_t> channel_of_column(const SitePart& reader) {
  const Shape& shape = reader.parameter->shape();
  const int64_t inputs = shape[1];
  const int64_t taps = reader.parameter->numel() / (shape[0] * inputs);
  std::vector<int64_t> channel;
  for (int64_t tap = 0; tap < taps; ++tap) {
    for (int64_t i = 0; i < inputs; ++i) channel.push_back(reader.units.unit(i * taps + tap));
  }
  return channel;
}

Tensor contribution_gram(const Tensor& inputs,
                         const Tensor& weight,
                         std::span<const int64_t> channel,
                         int64_t channels) {
  const auto columns = static_cast<int64_t>(channel.size());
  const Tensor products = matrix_product(weight.transpose(0, 1), weight);
  const double* x = inputs.data<double>();
  const double* w = products.data<double>();
  Tensor gram = Tensor::zeros({channels, channels + 1}, DType::F64);
  double* g = gram.data<double>();
  for (int64_t a = 0; a < columns; ++a) {
    const int64_t c = channel[static_cast<size_t>(a)];
    if (c < 0) continue;
    for (int64_t b = 0; b < columns; ++b) {
      const int64_t d = channel[static_cast<size_t>(b)];
      g[c * (channels + 1) + (d < 0 ? channels : d)] += x[a * columns + b] * w[a * columns + b];
    }
  }
  return gram;
}

}  // namespace espalier::prune
