// SPDX-License-Identifier: Apache-2.0
/// Filter pruning via geometric median: g(x) = sum over j of ||F_x - F_j||_2; the filters with the
/// smallest g are nearest to the layer's geometric median, and the others can replace them.
/// Distances are Euclidean (the published code has other names, but computes no other).
///
/// Source: He, Liu, Wang, Hu, Yang, arXiv 1811.00250, equations 5 to 7.
#include <algorithm>
#include <cmath>
#include <numeric>

#include <espalier/core/parallel.h>
#include <espalier/prune/ground/select.h>
#include <espalier/prune/scores/score.h>

namespace espalier::prune {
namespace {

/// Filters that the norm takes get the numbers -1, -2, .. , the weakest the lowest.
class FpgmScore : public Score {
 public:
  explicit FpgmScore(Sparsity norm_sparsity) : norm_sparsity_(norm_sparsity) {}
  Reduce reduce() const override { return Reduce::Max; }

  std::vector<Tensor> compute(const ScoreContext& context) override {
    std::vector<Tensor> scores;
    for (const nn::NamedParameter& weight : context.weights) {
      const Tensor& value = weight.parameter->value.value();
      scores.push_back(spread_over_filters(layer(value, *weight.parameter), value.shape()));
    }
    return scores;
  }

 private:
  std::vector<double> layer(const Tensor& value, const nn::Parameter& parameter) const {
    const std::vector<double> norms = filter_norms(value);
    const auto filters = static_cast<int64_t>(norms.size());
    std::vector<int64_t> by_norm(norms.size());
    std::iota(by_norm.begin(), by_norm.end(), 0);
    std::reverse(by_norm.begin(), by_norm.end());  // of equal norms the higher index goes first
    std::ranges::stable_sort(by_norm, {}, [&](int64_t f) { return norms[static_cast<size_t>(f)]; });
    const int64_t weak = guarded_floor(norm_sparsity_.value() * static_cast<double>(filters));
    std::vector<uint8_t> kept = with_weights_left(parameter, filters);
    for (int64_t i = 0; i < weak; ++i)
      kept[static_cast<size_t>(by_norm[static_cast<size_t>(i)])] = 0;
    std::vector<double> scores = distances(value, kept);
    for (int64_t i = 0; i < weak; ++i) {
      scores[static_cast<size_t>(by_norm[static_cast<size_t>(i)])] = static_cast<double>(i - weak);
    }
    return scores;
  }

  /// Filters that are pruned already are not there to replace others.
  static std::vector<uint8_t> with_weights_left(const nn::Parameter& parameter, int64_t filters) {
    std::vector<uint8_t> left(static_cast<size_t>(filters), parameter.masked() ? 0 : 1);
    if (!parameter.masked()) return left;
    const Tensor mask = parameter.mask();
    const int64_t inner = mask.numel() / std::max<int64_t>(filters, 1);
    for (int64_t i = 0; i < mask.numel(); ++i) {
      left[static_cast<size_t>(i / inner)] |= mask.data<uint8_t>()[i];
    }
    return left;
  }

  /// g of every kept filter, 0 for the others.
  static std::vector<double> distances(const Tensor& value, const std::vector<uint8_t>& kept) {
    const auto filters = static_cast<int64_t>(kept.size());
    const int64_t inner = value.numel() / std::max<int64_t>(filters, 1);
    // (inner, filters): the innermost loop runs over the other filters.
    const Tensor columns = as_double(value).reshape({filters, inner}).transpose(0, 1).contiguous();
    const double* w = columns.data<double>();
    std::vector<double> sums(kept.size(), 0.0);
    parallel_for(filters, 1, [&](int64_t begin, int64_t end) {
      std::vector<double> squares(kept.size());
      for (int64_t f = begin; f < end; ++f) {
        if (kept[static_cast<size_t>(f)] == 0) continue;
        std::ranges::fill(squares, 0.0);
        for (int64_t i = 0; i < inner; ++i) {
          const double* row = w + i * filters;
          const double own = row[f];
          for (int64_t j = 0; j < filters; ++j) {
            squares[static_cast<size_t>(j)] += (row[j] - own) * (row[j] - own);
          }
        }
        for (size_t j = 0; j < kept.size(); ++j) {
          if (kept[j] != 0) sums[static_cast<size_t>(f)] += std::sqrt(squares[j]);
        }
      }
    });
    return sums;
  }

  Sparsity norm_sparsity_;
};

}  // namespace

std::unique_ptr<Score> fpgm_score(Sparsity norm_sparsity) {
  return std::make_unique<FpgmScore>(norm_sparsity);
}

}  // namespace espalier::prune
