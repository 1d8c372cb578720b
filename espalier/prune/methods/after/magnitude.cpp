// SPDX-License-Identifier: Apache-2.0
/// Magnitude pruning, one-shot or iterative.
///
/// Source: Han, Pool, Tran, Dally, "Learning both weights and connections", arXiv 1506.02626.
/// Thresholds are exact counts by default, global or per layer; the paper's, a hand-set multiple of
/// each layer's deviation, are allocation `std`. The paper's smaller dropout for retraining is the
/// user's: no network of the zoo drops out by default.
#include <cmath>

#include <espalier/prune/methods/methods.h>

namespace espalier::prune::method_list {
namespace {

/// |w| in standard deviations of the weights that its layer still has; of units the mean.
class DeviationScore : public Score {
 public:
  Reduce reduce() const override { return Reduce::Mean; }
  std::vector<Tensor> compute(const ScoreContext& context) override {
    std::vector<Tensor> scores = magnitude_score()->compute(context);
    for (size_t w = 0; w < scores.size(); ++w) {
      const nn::Parameter& parameter = *context.weights[w].parameter;
      const double deviation = deviation_of(parameter);
      double* s = scores[w].data<double>();
      for (int64_t i = 0; i < scores[w].numel(); ++i) s[i] /= deviation > 0.0 ? deviation : 1.0;
    }
    return scores;
  }

 private:
  /// Of the population. Removed weights are zeros: they add to no sum but the count.
  static double deviation_of(const nn::Parameter& parameter) {
    const std::vector<double> values = parameter.value.value().to_vector<double>();
    const auto count = static_cast<double>(parameter.nnz());
    double mean = 0.0;
    double squares = 0.0;
    for (const double value : values) mean += value / count;
    for (const double value : values) squares += (value - mean) * (value - mean);
    squares -= (static_cast<double>(values.size()) - count) * mean * mean;
    return std::sqrt(std::max(0.0, squares) / count);
  }
};

}  // namespace

Method magnitude() {
  return {
      .name = "magnitude",
      .title = "Magnitude pruning",
      .paper = "Han, Pool, Tran, Dally, arXiv 1506.02626",
      .year = 2015,
      .speedup = Speedup::Unstructured,
      .when = When::After,
      .how = How::Criterion,
      .one_shot = true,
      .global = true,
      .data_free = true,
      .idea =
          "In a trained network the smallest weights matter least: remove them and train on what "
          "is "
          "left.",
      .formula =
          "s = |w|; round r of R keeps the fraction (1 - S)^(r/R) with the highest scores among "
          "the weights still there; with allocation std those with |w| > quality * std(layer)",
      .schedule =
          "start from trained weights; one update before fine-tuning, or `rounds` updates spread "
          "evenly over it",
      .differs =
          "thresholds are exact counts; the paper's, a hand-set multiple of each layer's "
          "deviation, are `allocation std`",
      .patterns =
          {"unstructured", "4x1", "8x1", "kernel", "stripe", "filter", "2:4", "2:4g4", "channel"},
      .options =
          {
              integer_option("rounds", 1, 1, 1000, "", "updates; 1 is one-shot, more is iterative"),
              until_option(1.0),
              allocation_option({"global", "uniform", "uniform-dense-first", "er", "erk", "std"}),
              needing(real_option("quality",
                                  1.0,
                                  0.0,
                                  1e3,
                                  "deviations",
                                  "of allocation std: weights up to this many standard deviations "
                                  "of their layer go, whatever `sparsity` says"),
                      {.option = "allocation", .values = {"std"}}),
          },
      .recipe =
          [](const OptionValues& options) {
            Recipe recipe;
            if (options.text("allocation") == "std") {
              recipe.score = std::make_unique<DeviationScore>();
              recipe.allocation = threshold_allocation(options.real("quality"));
            } else {
              recipe.score = magnitude_score();
              recipe.allocation = make_allocation(options.text("allocation"));
            }
            recipe.schedule = iterative_schedule(options.integer("rounds"), options.real("until"));
            return recipe;
          },
  };
}

}  // namespace espalier::prune::method_list
