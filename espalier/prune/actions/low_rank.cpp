// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/actions/low_rank.h>

#include <algorithm>
#include <map>
#include <numeric>

#include <espalier/prune/actions/train_under_forms.h>
#include <espalier/prune/budgets/units_within.h>
#include <espalier/prune/curvature/linalg/eigen.h>
#include <espalier/prune/ground/as_double.h>
#include <espalier/prune/ground/select.h>
#include <espalier/prune/sites/site.h>
#include <espalier/prune/update/to_budget.h>

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

/// Of Tucker2 in proportion on both sides.
nn::LowRank::Options ranks_of(const Shape& weight, Split split, int64_t rank) {
  nn::LowRank::Options out = nn::LowRank::full(weight, split);
  const double inner = static_cast<double>(out.inner) / static_cast<double>(out.rank);
  out.rank = rank;
  if (split == Split::Tucker2) {
    out.inner = std::max<int64_t>(1, guarded_floor(inner * static_cast<double>(rank) + 0.5));
  }
  return out;
}

/// The most ranks with at most so many numbers; 0 if none has.
int64_t most_ranks(const Shape& weight, Split split, int64_t numbers) {
  int64_t rank = nn::LowRank::full(weight, split).rank;
  while (rank > 0 && nn::LowRank::numbers(weight, ranks_of(weight, split, rank)) > numbers) --rank;
  return rank;
}

int64_t numbers_left(const Shape& weight, Sparsity sparsity) {
  return guarded_floor(sparsity.density().value() * static_cast<double>(weight.numel()));
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

/// A weight that may have factors.
struct Cuttable {
  std::string name;
  Shape shape;
  Split split;
};

/// The ranks at which the network costs what the target asks; 0: the weight stays whole.
std::map<std::string, int64_t> ranks_to_budget(const Subject& subject,
                                               const std::vector<Cuttable>& weights) {
  const Target target = parse_target(subject.settings.target);
  const std::unique_ptr<nn::Module> dense = dense_copy(*without_forms(subject.model));
  const auto budget =
      make_budget(target.kind, *dense, subject.inputs, subject.settings.latency_batch);
  // A place has 1, 2, .. ranks, as long as they have fewer numbers than the weight, or is whole.
  UnitNumbers whole;
  for (const Cuttable& one : weights) {
    whole.push_back(most_ranks(one.shape, one.split, one.shape.numel() - 1) + 1);
  }
  const auto at = [&](Sparsity sparsity) {
    UnitNumbers ranks = whole;
    for (size_t w = 0; w < weights.size() && sparsity.value() > 0.0; ++w) {
      const auto& [name, shape, split] = weights[w];
      const int64_t most = most_ranks(shape, split, numbers_left(shape, sparsity));
      ranks[w] = std::clamp<int64_t>(most, 1, std::max<int64_t>(whole[w] - 1, 1));
    }
    return ranks;
  };
  const auto cost = [&](const UnitNumbers& ranks) {
    const std::unique_ptr<nn::Module> copy = dense->clone();
    for (size_t w = 0; w < weights.size(); ++w) {
      if (ranks[w] == whole[w]) continue;
      const auto& [name, shape, split] = weights[w];
      auto form = std::make_shared<nn::LowRank>(shape, ranks_of(shape, split, ranks[w]));
      for (const nn::NamedParameter& factor : form->named_parameters()) {
        factor.parameter->value.value().fill_(1.0);
      }
      form->to(copy->parameter(name).value.dtype());
      nn::put_form(*copy, name, form);
    }
    return budget->cost(*copy);
  };
  const double all = budget->cost(*dense->clone());
  const UnitNumbers found =
      units_within({.at = at, .cost = cost, .asked = (1.0 - target.removed()) * all, .dense = all},
                   name(target.kind));
  std::map<std::string, int64_t> ranks;
  for (size_t w = 0; w < weights.size(); ++w) {
    ranks[weights[w].name] = found[w] == whole[w] ? 0 : found[w];
  }
  return ranks;
}

void put_low_rank(const Subject& subject,
                  const LowRankOptions& o,
                  std::vector<std::string>& notes) {
  notes.clear();
  const bool by_energy = o.rule == RankRule::Energy;
  std::vector<Cuttable> weights;
  std::map<std::string, std::string> whole;  // and why
  bool first = true;
  const auto all = prunable_weights(subject.model, subject.settings.exclude);
  for (const nn::NamedParameter& one : all) {
    const Shape& shape = one.parameter->shape();
    const bool convolution = shape.rank() > 2;
    const Split split = convolution ? o.split : Split::Matrix;
    const std::string why =
        refusal(nn::form_site(subject.model, one.name), split, convolution && first);
    first = first && !convolution;
    if (!why.empty()) {
      whole[one.name] = why;
    } else if (most_ranks(shape, split, shape.numel() - 1) == 0) {
      whole[one.name] = "no factors of it are smaller";
    } else {
      weights.push_back({one.name, shape, split});
    }
  }
  const bool to_budget = has_budget(subject);
  std::map<std::string, int64_t> of_budget;
  if (to_budget) of_budget = ranks_to_budget(subject, weights);
  int64_t cut = 0;
  for (const auto& [name, shape, split] : weights) {
    nn::Parameter& parameter = subject.model.parameter(name);
    const Tensor weight = as_double(parameter.value.value());
    std::optional<nn::LowRank::Options> ranks;
    if (to_budget) {
      if (of_budget.at(name) > 0) ranks = ranks_of(shape, split, of_budget.at(name));
    } else {
      ranks = by_energy ? ranks_by_energy(weight, split, o.energy)
                        : ranks_within(shape, split, subject.settings.final());
    }
    if (!ranks) {
      whole[name] = to_budget ? "all of it fits" : "no factors of it are smaller";
      continue;
    }
    auto form = std::make_shared<nn::LowRank>(shape, *ranks);
    form->to(parameter.value.dtype());
    form->set_factors(factors_of(weight, *ranks, o.iterations));
    nn::put_form(subject.model, name, form);
    ++cut;
  }
  const bool nothing_asked = !by_energy && subject.settings.final().value() == 0.0;
  if (nothing_asked) return;
  for (const nn::NamedParameter& one : all) {
    const auto why = whole.find(one.name);
    if (why != whole.end()) notes.push_back(cat(one.name, " stays as it is: ", why->second));
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
  if (sparsity.value() == 0.0) return {};
  const int64_t rank = most_ranks(weight, split, numbers_left(weight, sparsity));
  return rank == 0 ? std::nullopt : std::optional(ranks_of(weight, split, rank));
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
       .no_target =
           options.rule == RankRule::Energy
               ? "`ranks energy` says how many ranks a layer has; leave it out for a target"
               : "",
       .notes = notes});
}

}  // namespace espalier::prune
