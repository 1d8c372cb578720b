// SPDX-License-Identifier: Apache-2.0
/// The optimal brain surgeon's saliency L_q = w_q^2 / (2 [H^-1]_qq), where weights go one after
/// another and what stays of a block adapts after each. A score is what had to be paid up to a
/// weight's removal, so that the lowest of all blocks are those that go first. Or (WoodFisher)
/// every weight is scored as if it went alone.
///
/// Source: Hassibi, Stork, "Second order derivatives for network pruning: optimal brain surgeon",
/// 1992; the merged order of blocks as in Frantar, Singh, Alistarh, "Optimal brain compression",
/// arXiv 2208.11580; alone: Singh, Alistarh, "WoodFisher", arXiv 2004.14340.
#include <algorithm>

#include <espalier/prune/curvature/linalg/surgeon.h>
#include <espalier/prune/scores/gradients.h>

namespace espalier::prune {
namespace {

class SurgeonScore : public Score {
 public:
  SurgeonScore(std::shared_ptr<FisherBlocks> fisher, Removal removal)
      : fisher_(std::move(fisher)), removal_(removal) {}
  ScoreNeeds needs() const override { return ScoreNeeds::Gradients; }

  std::vector<Tensor> compute(const ScoreContext& context) override {
    fisher_->find(context.model, context.weights, context.inputs, context.notes);
    std::vector<Tensor> scores;
    for (const nn::NamedParameter& weight : context.weights) scores.push_back(score(weight));
    return scores;
  }

 private:
  Tensor score(const nn::NamedParameter& weight) const {
    const InverseFisher& fisher = fisher_->of(weight.name);
    const auto w = weight.parameter->value.value().to_vector<double>();
    std::vector<uint8_t> alive(w.size(), 1);
    if (weight.parameter->masked()) alive = weight.parameter->mask().to_vector<uint8_t>();
    Tensor costs = Tensor::empty(weight.parameter->shape(), DType::F64);
    double* out = costs.data<double>();
    parallel_for(fisher.blocks(), 1, [&](int64_t first, int64_t end) {
      for (int64_t b = first; b < end; ++b) {
        const auto from = static_cast<size_t>(fisher.begin(b));
        const auto size = static_cast<size_t>(fisher.size(b));
        const auto own = std::span(w).subspan(from, size);
        const auto there = std::span(alive).subspan(from, size);
        std::ranges::copy(removal_ == Removal::Alone
                              ? single_costs(fisher.inverse(b), own, there)
                              : removal_costs(fisher.inverse(b), {own.begin(), own.end()}, there),
                          out + fisher.begin(b));
      }
    });
    return costs;
  }

  std::shared_ptr<FisherBlocks> fisher_;
  Removal removal_;
};

}  // namespace

std::unique_ptr<Score> surgeon_score(std::shared_ptr<FisherBlocks> fisher, Removal removal) {
  return std::make_unique<SurgeonScore>(std::move(fisher), removal);
}

}  // namespace espalier::prune
