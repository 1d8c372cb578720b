// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/compress/kmeans.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

#include <espalier/core/error.h>

namespace espalier::nn::compress {
namespace {

// Lloyd's iterations end by themselves; this only bounds the time of an adversarial input.
constexpr int kMostIterations = 10'000;

void check(std::span<const float> values, int64_t k) {
  ESPALIER_CHECK(k >= 1, ValueError, "kmeans: expects k >= 1, got ", k);
  for (size_t i = 0; i < values.size(); ++i) {
    ESPALIER_CHECK(std::isfinite(values[i]),
                   ValueError,
                   "kmeans: expects finite values, got ",
                   static_cast<double>(values[i]),
                   " at index ",
                   i);
  }
}

// Cluster j holds the sorted values ends[j-1] .. ends[j]-1: on a line, cells are intervals.
std::vector<size_t> cell_ends(const std::vector<double>& sorted, const std::vector<double>& c) {
  std::vector<size_t> ends(c.size(), sorted.size());
  auto from = sorted.begin();
  for (size_t j = 0; j + 1 < c.size(); ++j) {
    from = std::upper_bound(from, sorted.end(), 0.5 * (c[j] + c[j + 1]));
    ends[j] = static_cast<size_t>(from - sorted.begin());
  }
  return ends;
}

std::vector<size_t> lloyd(const std::vector<double>& sorted, std::vector<double>& centroids) {
  std::vector<double> sums(sorted.size() + 1, 0.0);
  std::partial_sum(sorted.begin(), sorted.end(), sums.begin() + 1);
  std::vector<size_t> ends = cell_ends(sorted, centroids);
  for (int iteration = 0; iteration < kMostIterations; ++iteration) {
    for (size_t j = 0; j < centroids.size(); ++j) {
      const size_t begin = j == 0 ? 0 : ends[j - 1];
      if (ends[j] == begin) continue;
      centroids[j] = (sums[ends[j]] - sums[begin]) / static_cast<double>(ends[j] - begin);
    }
    std::vector<size_t> next = cell_ends(sorted, centroids);
    if (next == ends) break;
    ends = std::move(next);
  }
  return ends;
}

}  // namespace

std::vector<double> linear_centroids(std::span<const float> values, int64_t k) {
  check(values, k);
  if (values.empty()) return {};
  const auto [least, largest] = std::minmax_element(values.begin(), values.end());
  const double low = *least;
  const double width = static_cast<double>(*largest) - low;
  if (k == 1) return {low + 0.5 * width};
  std::vector<double> out(static_cast<size_t>(k));
  for (size_t j = 0; j < out.size(); ++j) {
    out[j] = low + width * static_cast<double>(j) / static_cast<double>(k - 1);
  }
  return out;
}

Clusters kmeans(std::span<const float> values, int64_t k) {
  std::vector<double> centroids = linear_centroids(values, k);
  std::vector<uint32_t> order(values.size());
  std::iota(order.begin(), order.end(), 0U);
  std::stable_sort(
      order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return values[a] < values[b]; });
  std::vector<double> sorted(values.size());
  std::transform(order.begin(), order.end(), sorted.begin(), [&](uint32_t i) { return values[i]; });

  std::vector<double> distinct;
  std::unique_copy(sorted.begin(), sorted.end(), std::back_inserter(distinct));
  std::vector<size_t> ends;
  if (distinct.size() <= static_cast<size_t>(k)) {
    centroids = distinct;
    for (const double c : centroids) {
      ends.push_back(
          static_cast<size_t>(std::upper_bound(sorted.begin(), sorted.end(), c) - sorted.begin()));
    }
  } else {
    ends = lloyd(sorted, centroids);
  }

  Clusters out{.centroids = {}, .index = std::vector<uint32_t>(values.size())};
  size_t begin = 0;
  for (size_t j = 0; j < centroids.size(); ++j) {
    if (ends[j] == begin) continue;
    const auto cluster = static_cast<uint32_t>(out.centroids.size());
    out.centroids.push_back(static_cast<float>(centroids[j]));
    for (; begin < ends[j]; ++begin) out.index[order[begin]] = cluster;
  }
  return out;
}

double sharing_ratio(int64_t n, int64_t k, int64_t b0) {
  ESPALIER_CHECK(n >= 1 && k >= 1 && b0 >= 1,
                 ValueError,
                 "sharing_ratio: expects positive numbers, got n ",
                 n,
                 ", k ",
                 k,
                 ", b0 ",
                 b0);
  const int64_t index_bits = std::bit_width(static_cast<uint64_t>(k - 1));
  return static_cast<double>(n * b0) / static_cast<double>(n * index_bits + k * b0);
}

}  // namespace espalier::nn::compress
