// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/penalties/firing.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace espalier::prune {
namespace {

/// The share of a sample's sum that its stronger channels hold: before each, and with it.
struct Masses {
  std::vector<double> before;
  std::vector<double> with;
};

Masses masses_of(const Tensor& activations) {
  ESPALIER_CHECK(activations.rank() == 2,
                 ShapeError,
                 "firing: expects activations (N,K), got ",
                 activations.shape());
  const std::vector<double> a =
      activations.to(Layout::Nchw).contiguous().to(DType::F64).to_vector<double>();
  const auto channels = static_cast<size_t>(activations.size(1));
  Masses out{std::vector<double>(a.size(), 2.0), std::vector<double>(a.size(), 2.0)};
  std::vector<size_t> order(channels);
  for (size_t first = 0; first < a.size(); first += channels) {
    std::iota(order.begin(), order.end(), first);
    std::ranges::stable_sort(order, [&](size_t i, size_t j) { return a[i] > a[j]; });
    double total = 0.0;
    for (const size_t i : order) total += a[i];
    double sum = 0.0;
    for (const size_t i : order) {
      if (a[i] <= 0.0) break;  // what does not fire is beyond any mass
      out.before[i] = sum / total;
      sum += a[i];
      out.with[i] = sum / total;
    }
  }
  return out;
}

Tensor ones_where(const Tensor& like, const std::vector<uint8_t>& chosen) {
  return Tensor::from<uint8_t>(like.shape(), chosen).to(like.dtype());
}

}  // namespace

Tensor fired_channels(const Tensor& activations, double mass, Boundary boundary) {
  constexpr double kSlack = 1e-5;      // of the published code
  constexpr double kRounding = 1e-12;  // of sums that reach the mass exactly
  const Masses masses = masses_of(activations);
  std::vector<uint8_t> chosen(masses.before.size());
  for (size_t i = 0; i < chosen.size(); ++i) {
    chosen[i] = boundary == Boundary::Kept ? masses.before[i] < mass - kRounding
                                           : masses.with[i] <= mass + kSlack;
  }
  return ones_where(activations, chosen);
}

Tensor most_fired(const Tensor& activations, double share) {
  const Masses masses = masses_of(activations);
  std::vector<size_t> order(masses.before.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order,
                           [&](size_t i, size_t j) { return masses.before[i] < masses.before[j]; });
  const auto count = static_cast<size_t>(
      std::floor(std::clamp(share, 0.0, 1.0) * static_cast<double>(order.size()) + 0.5));
  std::vector<uint8_t> chosen(order.size());
  for (size_t i = 0; i < count && masses.before[order[i]] < 1.0; ++i) chosen[order[i]] = 1;
  return ones_where(activations, chosen);
}

}  // namespace espalier::prune
