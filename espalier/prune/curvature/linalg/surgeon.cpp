// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/curvature/linalg/surgeon.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace espalier::prune {

double saliency(const Tensor& inverse, std::span<const double> weights, int64_t q) {
  const double diagonal = inverse.data<double>()[q * inverse.size(0) + q];
  ESPALIER_CHECK(diagonal > 0.0,
                 ValueError,
                 "surgeon: entry ",
                 q,
                 " of the inverse's diagonal is ",
                 diagonal,
                 "; expected a positive number. More damping helps");
  const double w = weights[static_cast<size_t>(q)];
  return w * w / (2.0 * diagonal);
}

double remove_weight(Tensor& inverse, std::span<double> weights, int64_t q) {
  const double cost = saliency(inverse, weights, q);
  const int64_t n = inverse.size(0);
  double* h = inverse.data<double>();
  const std::vector<double> row(h + q * n, h + (q + 1) * n);
  const double diagonal = row[static_cast<size_t>(q)];
  const double factor = weights[static_cast<size_t>(q)] / diagonal;
  const double share = 1.0 / diagonal;
  const double* r = row.data();
  for (int64_t i = 0; i < n; ++i) {
    weights[static_cast<size_t>(i)] -= factor * r[i];
    for (int64_t j = 0; j < n; ++j) h[i * n + j] -= r[i] * r[j] * share;
  }
  weights[static_cast<size_t>(q)] = 0.0;  // exactly
  for (int64_t i = 0; i < n; ++i) h[q * n + i] = h[i * n + q] = 0.0;
  return cost;
}

namespace {

/// The places of a block that are left, of which the matrix is being worn down.
struct Rest {
  Tensor inverse;
  std::vector<double> weights;
  std::vector<int64_t> place;  ///< of every row in the block
  std::vector<int64_t> open;   ///< rows that may go, in order

  /// Leaves out the rows that are gone. Elements keep their values, so nothing else changes.
  void pack(const std::vector<uint8_t>& there) {
    std::vector<int64_t> rows;
    for (size_t i = 0; i < place.size(); ++i) {
      if (there[static_cast<size_t>(place[i])] != 0) rows.push_back(static_cast<int64_t>(i));
    }
    const auto n = static_cast<int64_t>(rows.size());
    if (n == inverse.size(0)) return;
    Tensor packed = Tensor::empty({n, n}, DType::F64);
    std::vector<int64_t> new_row(place.size(), -1);
    for (int64_t i = 0; i < n; ++i) {
      const int64_t from = rows[static_cast<size_t>(i)];
      new_row[static_cast<size_t>(from)] = i;
      const double* row = inverse.data<double>() + from * inverse.size(0);
      double* to = packed.data<double>() + i * n;
      for (int64_t j = 0; j < n; ++j) to[j] = row[rows[static_cast<size_t>(j)]];
      weights[static_cast<size_t>(i)] = weights[static_cast<size_t>(from)];
      place[static_cast<size_t>(i)] = place[static_cast<size_t>(from)];
    }
    weights.resize(static_cast<size_t>(n));
    place.resize(static_cast<size_t>(n));
    for (int64_t& row : open) row = new_row[static_cast<size_t>(row)];
    inverse = packed;
  }
};

}  // namespace

std::vector<double> removal_costs(Tensor inverse,
                                  std::vector<double> weights,
                                  std::span<const uint8_t> alive,
                                  const UnitCell& cell) {
  constexpr double kNever = std::numeric_limits<double>::infinity();
  std::vector<double> costs(weights.size(), 0.0);
  std::vector<uint8_t> there(alive.begin(), alive.end());
  const auto cell_of = [&](int64_t i) { return cell.size == 0 ? 0 : i / cell.size; };
  std::vector<int64_t> of_cell(weights.size() + 1, 0);
  Rest rest{std::move(inverse), std::move(weights), {}, {}};
  for (size_t i = 0; i < there.size(); ++i) {
    rest.place.push_back(static_cast<int64_t>(i));
    if (there[i] == 0) continue;
    costs[i] = kNever;
    rest.open.push_back(static_cast<int64_t>(i));
    ++of_cell[static_cast<size_t>(cell_of(static_cast<int64_t>(i)))];
  }
  const auto full = [&](int64_t row) {
    const int64_t own = cell_of(rest.place[static_cast<size_t>(row)]);
    return cell.size > 0 && of_cell[static_cast<size_t>(own)] <= cell.keep;
  };
  std::erase_if(rest.open, full);
  double paid = 0.0;
  while (!rest.open.empty()) {
    size_t next = 0;
    double lowest = kNever;
    for (size_t i = 0; i < rest.open.size(); ++i) {
      const double cost = saliency(rest.inverse, rest.weights, rest.open[i]);
      if (cost <= lowest) next = i;
      lowest = std::min(lowest, cost);
    }
    const int64_t q = rest.open[next];
    const int64_t place = rest.place[static_cast<size_t>(q)];
    paid = std::max(remove_weight(rest.inverse, rest.weights, q), std::nextafter(paid, kNever));
    costs[static_cast<size_t>(place)] = paid;
    there[static_cast<size_t>(place)] = 0;
    --of_cell[static_cast<size_t>(cell_of(place))];
    rest.open.erase(rest.open.begin() + static_cast<std::ptrdiff_t>(next));
    if (cell.size > 0) std::erase_if(rest.open, full);
    const auto left = static_cast<int64_t>(std::ranges::count(there, uint8_t{1}));
    if (4 * left < 3 * rest.inverse.size(0)) rest.pack(there);
  }
  return costs;
}

std::vector<double> single_costs(const Tensor& inverse,
                                 std::span<const double> weights,
                                 std::span<const uint8_t> alive) {
  std::vector<double> costs(weights.size(), 0.0);
  for (size_t q = 0; q < costs.size(); ++q) {
    if (alive[q] != 0) costs[q] = saliency(inverse, weights, static_cast<int64_t>(q));
  }
  return costs;
}

void remove_alone(const Tensor& inverse, std::span<double> weights, std::span<const uint8_t> goes) {
  const int64_t n = inverse.size(0);
  const double* h = inverse.data<double>();
  std::vector<double> change(weights.size(), 0.0);
  for (int64_t q = 0; q < n; ++q) {
    if (goes[static_cast<size_t>(q)] == 0) continue;
    saliency(inverse, weights, q);  // throws unless the diagonal is positive
    const double factor = weights[static_cast<size_t>(q)] / h[q * n + q];
    for (int64_t i = 0; i < n; ++i) change[static_cast<size_t>(i)] -= factor * h[q * n + i];
  }
  for (size_t i = 0; i < change.size(); ++i) {
    weights[i] = goes[i] != 0 ? 0.0 : weights[i] + change[i];
  }
}

}  // namespace espalier::prune
