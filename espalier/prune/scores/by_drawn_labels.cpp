// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/curvature/drawn_labels.h>
#include <espalier/prune/scores/gradients.h>

namespace espalier::prune {
namespace {

class ByDrawnLabels : public Score {
 public:
  explicit ByDrawnLabels(std::unique_ptr<Score> score) : score_(std::move(score)) {}
  ScoreNeeds needs() const override { return ScoreNeeds::Activations; }
  Keep keep() const override { return score_->keep(); }
  Reduce reduce() const override { return score_->reduce(); }

  std::vector<Tensor> compute(const ScoreContext& context) override {
    const PruneInputs inputs = drawn(context);
    return score_->compute(with(context, inputs));
  }
  std::vector<std::vector<double>> score_units(const ScoreContext& context,
                                               std::span<const Site> sites) override {
    const PruneInputs inputs = drawn(context);
    return score_->score_units(with(context, inputs), sites);
  }
  std::map<std::string, Tensor> state() const override { return score_->state(); }
  void load_state(const std::map<std::string, Tensor>& state) override {
    score_->load_state(state);
  }

 private:
  static PruneInputs drawn(const ScoreContext& context) {
    scoring_batch(context, 0);  // throws where there is none
    return with_drawn_labels(context.model, context.inputs, context.rng.fork(0));
  }
  static ScoreContext with(const ScoreContext& of, const PruneInputs& inputs) {
    return {of.model, of.weights, inputs, of.rng, of.notes, of.sites, of.update};
  }

  std::unique_ptr<Score> score_;
};

}  // namespace

std::unique_ptr<Score> by_drawn_labels(std::unique_ptr<Score> score) {
  return std::make_unique<ByDrawnLabels>(std::move(score));
}

}  // namespace espalier::prune
