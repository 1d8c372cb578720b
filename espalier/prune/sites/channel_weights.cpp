// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/sites/channel_weights.h>

#include <map>

namespace espalier::prune {
namespace {

/// Indices along `dim` that go with each unit; the part is a slice of that dimension.
std::vector<int64_t> indices_of_units(const SitePart& part, int dim, int64_t units) {
  const Shape& shape = part.parameter->shape();
  int64_t inner = 1;
  for (int d = dim + 1; d < shape.rank(); ++d) inner *= shape[d];
  std::vector<int64_t> indices(static_cast<size_t>(units), 0);
  for (int64_t index = 0; index < shape[dim]; ++index) {
    const int64_t unit = part.units.unit(index * inner);
    if (unit >= 0) ++indices[static_cast<size_t>(unit)];
  }
  return indices;
}

}  // namespace

ChannelWeights::ChannelWeights(std::span<const Site> sites,
                               std::span<const nn::NamedParameter> weights) {
  std::map<const nn::Parameter*, size_t> matrix_of;
  for (const nn::NamedParameter& weight : weights) {
    const Shape& shape = weight.parameter->shape();
    matrix_of[weight.parameter] = matrices_.size();
    const int64_t outer = shape[0] * shape[1];
    matrices_.push_back({shape[0], shape[1], outer == 0 ? 0 : shape.numel() / outer});
    total_ += shape.numel();
  }
  left_ = total_;
  for (const Site& site : sites) {
    auto& of_units = shares_.emplace_back(static_cast<size_t>(site.units));
    for (const SitePart& part : site.parts) {
      const auto found = matrix_of.find(part.parameter);
      if (found == matrix_of.end()) continue;
      const std::vector<int64_t> indices = indices_of_units(part, part.dim, site.units);
      for (size_t unit = 0; unit < indices.size(); ++unit) {
        if (indices[unit] == 0) continue;
        of_units[unit].push_back({found->second, part.dim == 0, indices[unit]});
      }
    }
  }
}

void ChannelWeights::remove(size_t site, int64_t unit) {
  for (const Share& share : shares_[site][static_cast<size_t>(unit)]) {
    Matrix& matrix = matrices_[share.matrix];
    left_ -= matrix.left();
    (share.row ? matrix.rows : matrix.columns) -= share.indices;
    left_ += matrix.left();
  }
}

}  // namespace espalier::prune
