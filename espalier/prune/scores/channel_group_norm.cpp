// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include <espalier/prune/penalties/penalty.h>
#include <espalier/prune/scores/score.h>

namespace espalier::prune {
namespace {

class ChannelGroupNorm : public Score {
 public:
  std::vector<Tensor> compute(const ScoreContext&) override {
    throw NotImplemented("score: norms of channel groups are of channels, not of weights");
  }

  std::vector<std::vector<double>> score_units(const ScoreContext&,
                                               std::span<const Site> sites) override {
    std::vector<std::vector<double>> scores;
    for (const Site& site : sites) {
      std::vector<double> made(static_cast<size_t>(site.units), 0.0);
      std::vector<double> read(made);
      for (const SitePart& part : site.parts) {
        if (!part.scored && part.role != SliceRole::Consumer) continue;
        const std::vector<double> norms = group_norms(*part.parameter, part.units);
        std::vector<double>& side = part.scored ? made : read;
        for (size_t u = 0; u < side.size(); ++u) side[u] = std::hypot(side[u], norms[u]);
      }
      for (size_t u = 0; u < made.size(); ++u) made[u] *= read[u];
      scores.push_back(std::move(made));
    }
    return scores;
  }
};

}  // namespace

std::unique_ptr<Score> channel_group_norm_score() {
  return std::make_unique<ChannelGroupNorm>();
}

}  // namespace espalier::prune
