// SPDX-License-Identifier: Apache-2.0
/// Random growth.
#include <espalier/prune/growth/growth.h>

namespace espalier::prune {
namespace {

class RandomGrowth : public Growth {
 public:
  std::vector<Tensor> compute(const ScoreContext& context) override {
    Rng rng = context.rng.fork(stream_id("regrowth"));
    return random_score()->compute({context.model, context.weights, context.inputs, rng});
  }
};

}  // namespace

std::unique_ptr<Growth> random_growth() {
  return std::make_unique<RandomGrowth>();
}

}  // namespace espalier::prune
