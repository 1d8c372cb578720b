// SPDX-License-Identifier: Apache-2.0
/// Random regrowth.
#include <espalier/prune/regrowth/regrowth.h>

namespace espalier::prune {
namespace {

class RandomRegrowth : public Regrowth {
 public:
  std::vector<Tensor> compute(const ScoreContext& context) override {
    Rng rng = context.rng.fork(stream_id("regrowth"));
    return random_score()->compute({context.model, context.weights, context.inputs, rng});
  }
};

}  // namespace

std::unique_ptr<Regrowth> random_regrowth() {
  return std::make_unique<RandomRegrowth>();
}

}  // namespace espalier::prune
