// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include <espalier/prune/ground/select.h>

namespace espalier::prune {
namespace {

constexpr double kGuard = 1e-9;

}  // namespace

int64_t guarded_floor(double x) {
  return static_cast<int64_t>(std::floor(x + kGuard));
}

int64_t guarded_ceil(double x) {
  return static_cast<int64_t>(std::ceil(x - kGuard));
}

int64_t removed_count(int64_t n, Sparsity sparsity) {
  return guarded_floor(static_cast<double>(n) * sparsity.value() + 0.5);
}

int64_t kept_count(int64_t n, Sparsity sparsity) {
  return n - removed_count(n, sparsity);
}

std::vector<int64_t> apportion(std::span<const double> wanted) {
  std::vector<int64_t> share(wanted.size());
  std::vector<int64_t> rest(wanted.size());  // in units of the guard: rounding noise makes no order
  double sum = 0.0;
  int64_t given = 0;
  for (size_t i = 0; i < wanted.size(); ++i) {
    share[i] = guarded_floor(wanted[i]);
    rest[i] = std::llround((wanted[i] - static_cast<double>(share[i])) / kGuard);
    sum += wanted[i];
    given += share[i];
  }
  std::vector<size_t> order(wanted.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(
      order.begin(), order.end(), [&](size_t a, size_t b) { return rest[a] > rest[b]; });
  const int64_t missing = guarded_floor(sum + 0.5) - given;
  for (int64_t i = 0; i < missing; ++i) ++share[order[static_cast<size_t>(i)]];
  return share;
}

std::vector<double> share_within(std::span<const double> parts,
                                 std::span<const double> least,
                                 std::span<const double> most,
                                 double total) {
  const size_t n = parts.size();
  ESPALIER_CHECK(least.size() == n && most.size() == n,
                 ShapeError,
                 "share_within: ",
                 n,
                 " parts, but ",
                 least.size(),
                 " lower and ",
                 most.size(),
                 " upper bounds");
  const auto share = [&](size_t i, double scale) {
    return std::clamp(scale * parts[i], least[i], std::max(least[i], most[i]));
  };
  const auto sum_at = [&](double scale) {
    double sum = 0.0;
    for (size_t i = 0; i < n; ++i) sum += share(i, scale);
    return sum;
  };
  // The sum rises with the scale, by pieces of straight lines that end where a bound is met.
  std::vector<double> ends = {0.0};
  for (size_t i = 0; i < n; ++i) {
    if (parts[i] <= 0.0) continue;
    ends.push_back(least[i] / parts[i]);
    ends.push_back(std::max(least[i], most[i]) / parts[i]);
  }
  std::sort(ends.begin(), ends.end());
  const auto above = std::partition_point(
      ends.begin() + 1, ends.end(), [&](double e) { return sum_at(e) <= total; });
  const double begin = *(above - 1);
  double fixed = 0.0;
  double free = 0.0;
  for (size_t i = 0; i < n; ++i) {
    const bool moves = parts[i] > 0.0 && begin >= least[i] / parts[i] && begin < most[i] / parts[i];
    moves ? free += parts[i] : fixed += share(i, begin);
  }
  const double scale = free > 0.0 ? std::max(begin, (total - fixed) / free) : begin;
  std::vector<double> out(n);
  for (size_t i = 0; i < n; ++i) out[i] = share(i, scale);
  return out;
}

std::vector<uint8_t> top_k(std::span<const double> scores,
                           std::span<const uint8_t> candidates,
                           int64_t k) {
  const size_t n = scores.size();
  ESPALIER_CHECK(candidates.empty() || candidates.size() == n,
                 ShapeError,
                 "top_k: ",
                 n,
                 " scores but ",
                 candidates.size(),
                 " candidate flags");
  const auto eligible = [&](size_t i) { return candidates.empty() || candidates[i] != 0; };
  std::vector<double> sorted;
  sorted.reserve(n);
  for (size_t i = 0; i < n; ++i) {
    if (!eligible(i)) continue;
    ESPALIER_CHECK(!std::isnan(scores[i]),
                   ValueError,
                   "top_k: the score at flat position ",
                   i,
                   " is not a number. Did the loss or a gradient overflow?");
    sorted.push_back(scores[i]);
  }
  ESPALIER_CHECK(k >= 0 && k <= static_cast<int64_t>(sorted.size()),
                 ValueError,
                 "top_k: expects k in 0 .. ",
                 sorted.size(),
                 " (the candidates), got ",
                 k);
  std::vector<uint8_t> keep(n, 0);
  if (k == 0) return keep;
  // The k-th highest score: all above it stay, and of those equal to it the first ones.
  std::nth_element(sorted.begin(), sorted.begin() + (k - 1), sorted.end(), std::greater<>());
  const double threshold = sorted[static_cast<size_t>(k - 1)];
  int64_t ties = k - std::count_if(sorted.begin(), sorted.end(), [&](double score) {
                   return score > threshold;
                 });
  for (size_t i = 0; i < n; ++i) {
    if (!eligible(i)) continue;
    if (scores[i] > threshold) {
      keep[i] = 1;
    } else if (scores[i] == threshold && ties > 0) {
      keep[i] = 1;
      --ties;
    }
  }
  return keep;
}

std::vector<uint8_t> top_k(std::span<const double> scores,
                           std::span<const uint8_t> candidates,
                           int64_t k,
                           std::span<const uint8_t> first) {
  if (first.empty()) return top_k(scores, candidates, k);
  ESPALIER_CHECK(first.size() == scores.size(),
                 ShapeError,
                 "top_k: ",
                 scores.size(),
                 " scores but ",
                 first.size(),
                 " flags of those that go first");
  std::vector<uint8_t> before(scores.size());
  std::vector<uint8_t> others(scores.size());
  int64_t count = 0;
  for (size_t i = 0; i < scores.size(); ++i) {
    const bool candidate = candidates.empty() || candidates[i] != 0;
    before[i] = candidate && first[i] != 0 ? 1 : 0;
    others[i] = candidate && first[i] == 0 ? 1 : 0;
    count += before[i];
  }
  if (k <= count) return top_k(scores, before, k);
  std::vector<uint8_t> keep = top_k(scores, others, k - count);
  for (size_t i = 0; i < keep.size(); ++i) keep[i] |= before[i];
  return keep;
}

std::vector<uint8_t> top_k_in_cells(std::span<const double> scores,
                                    std::span<const uint8_t> candidates,
                                    int64_t k,
                                    int64_t cell) {
  const auto n = static_cast<int64_t>(scores.size());
  ESPALIER_CHECK(cell > 0 && n % cell == 0,
                 ValueError,
                 "top_k_in_cells: expects a multiple of ",
                 cell,
                 " items, got ",
                 n);
  ESPALIER_CHECK(candidates.empty() || candidates.size() == scores.size(),
                 ShapeError,
                 "top_k_in_cells: ",
                 n,
                 " scores but ",
                 candidates.size(),
                 " candidate flags");
  ESPALIER_CHECK(k >= 0, ValueError, "top_k_in_cells: expects k >= 0, got ", k);
  const auto eligible = [&](int64_t i) {
    return candidates.empty() || candidates[static_cast<size_t>(i)] != 0;
  };
  std::vector<uint8_t> keep(scores.size(), 0);
  for (int64_t i = 0; i < n; ++i) {
    if (!eligible(i)) continue;
    const double score = scores[static_cast<size_t>(i)];
    ESPALIER_CHECK(!std::isnan(score),
                   ValueError,
                   "top_k_in_cells: the score at flat position ",
                   i,
                   " is not a number. Did the loss or a gradient overflow?");
    // Cells are small: counting who is before one is faster than any sorting.
    const int64_t begin = i - i % cell;
    int64_t before = 0;
    for (int64_t j = begin; j < begin + cell; ++j) {
      const double other = scores[static_cast<size_t>(j)];
      before += eligible(j) && (other > score || (other == score && j < i));
    }
    keep[static_cast<size_t>(i)] = before < k;
  }
  return keep;
}

}  // namespace espalier::prune
