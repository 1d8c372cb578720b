// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/actions/low_rank.h>

#include <algorithm>
#include <numeric>

#include <espalier/prune/actions/train_under_forms.h>
#include <espalier/prune/curvature/linalg/eigen.h>
#include <espalier/prune/ground/as_double.h>
#include <espalier/prune/ground/select.h>
#include <espalier/prune/sites/site.h>

namespace espalier::prune {
namespace {

using Split = nn::LowRank::Split;

/// Of a convolution: rows are the input channels and the kernel's rows.
Tensor spatial_matrix(const Tensor& w) {
  return w.transpose(0, 1).transpose(1, 2).contiguous().reshape(
      {w.size(1) * w.size(2), w.size(0) * w.size(3)});
}

/// The matrix whose ranks a split cuts; of Tucker2 that of the outputs.
Tensor matrix_of(const Tensor& weight, Split split) {
  if (split == Split::Matrix) return weight;
  return split == Split::Spatial ? spatial_matrix(weight) : unfolded(weight, true);
}

/// The fewest leading values that sum up to a share of all.
int64_t ranks_with(const std::vector<double>& squares, double share) {
  const double all = std::accumulate(squares.begin(), squares.end(), 0.0);
  double sum = 0.0;
  int64_t rank = 0;
  do {
    sum += squares[static_cast<size_t>(rank++)];
  } while (sum < share * all && rank < static_cast<int64_t>(squares.size()));
  return rank;
}

std::optional<nn::LowRank::Options> ranks_by_energy(const Tensor& weight,
                                                    Split split,
                                                    double share) {
  nn::LowRank::Options out{
      .split = split, .rank = ranks_with(squared_singular_values(matrix_of(weight, split)), share)};
  if (split == Split::Tucker2) {
    out.inner = ranks_with(squared_singular_values(unfolded(weight, false)), share);
  }
  if (nn::LowRank::numbers(weight.shape(), out) >= weight.numel()) return {};
  return out;
}

/// Why a weight can't have factors; empty if it can.
std::string refusal(const nn::FormSite& site, Split split, bool first) {
  const nn::Parameter& weight = *site.slot.parameter;
  const Shape& shape = weight.shape();
  if (!site.slot.whole || (shape.rank() != 2 && shape.rank() != 4)) {
    return "it is not read in one product";
  }
  if (site.slot.groups != 1) return "it has groups";
  if (site.form() != nullptr) return "it has a form";
  if (weight.masked()) return "it has a mask, which factors would fill";
  if (shape.rank() == 2 || split != Split::Tucker2) return {};
  if (first) return "the first convolution";
  return shape[2] * shape[3] == 1 ? "a kernel of one weight" : "";
}

void put_low_rank(const Subject& subject,
                  const LowRankOptions& o,
                  std::vector<std::string>& notes) {
  notes.clear();
  bool first = true;
  int64_t cut = 0;
  for (const nn::NamedParameter& one : prunable_weights(subject.model, subject.settings.exclude)) {
    const nn::FormSite site = nn::form_site(subject.model, one.name);
    const Tensor weight = as_double(one.parameter->value.value());
    const bool convolution = weight.rank() > 2;
    const Split split = convolution ? o.split : Split::Matrix;
    std::string why = refusal(site, split, convolution && first);
    first = first && !convolution;
    std::optional<nn::LowRank::Options> ranks;
    if (why.empty()) {
      ranks = o.rule == RankRule::Energy
                  ? ranks_by_energy(weight, split, o.energy)
                  : ranks_within(weight.shape(), split, subject.settings.final());
      if (!ranks) why = "no factors of it are smaller";
    }
    if (!ranks) {
      notes.push_back(cat(one.name, " stays as it is: ", why));
      continue;
    }
    auto form = std::make_shared<nn::LowRank>(weight.shape(), *ranks);
    form->to(one.parameter->value.dtype());
    form->set_factors(factors_of(weight, *ranks, o.iterations));
    nn::put_form(subject.model, one.name, form);
    ++cut;
  }
  ESPALIER_CHECK(
      cut > 0,
      ValueError,
      "prune: no weight of the model has factors that are smaller than itself and as few as "
      "asked; ask for a lower sparsity, or see which layers the method takes");
}

}  // namespace

std::optional<nn::LowRank::Options> ranks_within(const Shape& weight,
                                                 Split split,
                                                 Sparsity sparsity) {
  const int64_t most =
      guarded_floor(sparsity.density().value() * static_cast<double>(weight.numel()));
  nn::LowRank::Options out = nn::LowRank::full(weight, split);
  const int64_t full = out.rank;
  const double inner = static_cast<double>(out.inner) / static_cast<double>(full);
  for (int64_t rank = full; rank >= 1; --rank) {
    out.rank = rank;
    if (split == Split::Tucker2) {
      out.inner = std::max<int64_t>(1, guarded_floor(inner * static_cast<double>(rank) + 0.5));
    }
    if (nn::LowRank::numbers(weight, out) <= most) return out;
  }
  return {};
}

std::vector<Tensor> factors_of(const Tensor& weight,
                               const nn::LowRank::Options& ranks,
                               int64_t iterations) {
  const Tensor w = as_double(weight);
  const auto transposed = [](const Tensor& matrix) { return matrix.transpose(0, 1).contiguous(); };
  const int64_t rank = ranks.rank;
  if (ranks.split == Split::Tucker2) {
    const Tucker2 cut = tucker2(w, rank, ranks.inner, iterations);
    return {transposed(cut.inputs).reshape({ranks.inner, w.size(1), 1, 1}),
            cut.core,
            cut.outputs.reshape({w.size(0), rank, 1, 1})};
  }
  const auto [left, right] = truncated_svd(matrix_of(w, ranks.split), rank);
  switch (ranks.split) {
    case Split::Channel:
      return {right.reshape({rank, w.size(1), w.size(2), w.size(3)}),
              left.reshape({w.size(0), rank, 1, 1})};
    case Split::Spatial:
      return {transposed(left).reshape({rank, w.size(1), w.size(2), 1}),
              transposed(right.reshape({rank, w.size(0), w.size(3)}))
                  .reshape({w.size(0), rank, 1, w.size(3)})};
    default:
      return {right, left};
  }
}

std::shared_ptr<Action> cut_into_factors(const LowRankOptions& options) {
  const auto notes = std::make_shared<std::vector<std::string>>();
  return train_under_forms(
      {.kind = "low-rank",
       .put_on = [options, notes](const Subject& of) { put_low_rank(of, options, *notes); },
       .stays = true,
       .notes = notes});
}

}  // namespace espalier::prune
