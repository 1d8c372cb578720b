// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/patterns/kernel_pattern.h>

#include <algorithm>

#include <espalier/prune/ground/select.h>
#include <espalier/prune/patterns/block.h>

namespace espalier::prune {
namespace {

constexpr int64_t kPlaces = 9;
constexpr double kOfNine = 9.0 / 4.0;

double energy(std::span<const double> kernel, const std::array<int64_t, 4>& places) {
  double sum = 0.0;
  for (const int64_t place : places) {
    sum += kernel[static_cast<size_t>(place)] * kernel[static_cast<size_t>(place)];
  }
  return sum;
}

}  // namespace

bool has_kernel_patterns(const Shape& weight) {
  return weight.rank() == 4 && weight[2] == 3 && weight[3] == 3;
}

std::vector<uint8_t> pattern_mask(std::span<const double> values, const Shape& weight) {
  if (!has_kernel_patterns(weight)) return std::vector<uint8_t>(values.size(), 1);
  std::vector<uint8_t> mask(values.size(), 0);
  for (size_t first = 0; first < values.size(); first += kPlaces) {
    const std::span<const double> kernel = values.subspan(first, kPlaces);
    const auto& best = *std::ranges::max_element(
        kKernelPatterns, {}, [&](const auto& places) { return energy(kernel, places); });
    for (const int64_t place : best) mask[first + static_cast<size_t>(place)] = 1;
  }
  return mask;
}

int64_t kernels_kept(const Shape& weight, Sparsity sparsity) {
  const int64_t kernels = weight_dims(weight)[1];
  const double removed = has_kernel_patterns(weight)
                             ? std::max(0.0, 1.0 - sparsity.density().value() * kOfNine)
                             : sparsity.value();
  return kernels - guarded_floor(removed * static_cast<double>(kernels));
}

std::vector<uint8_t> connectivity_mask(std::span<const double> values,
                                       const Shape& weight,
                                       int64_t kept) {
  const auto dims = weight_dims(weight);
  const auto size = static_cast<size_t>(dims[2] * dims[3]);
  std::vector<double> energies(static_cast<size_t>(dims[0] * dims[1]), 0.0);
  for (size_t i = 0; i < values.size(); ++i) energies[i / size] += values[i] * values[i];
  const std::vector<uint8_t> stays = top_k_in_cells(energies, {}, kept, dims[1]);
  std::vector<uint8_t> mask(values.size());
  for (size_t i = 0; i < values.size(); ++i) mask[i] = stays[i / size];
  return mask;
}

}  // namespace espalier::prune
