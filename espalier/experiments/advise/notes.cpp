// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/advise/rules.h>

namespace espalier::experiments::advise {
namespace {

using prune::BudgetKind;
using Q = const Question&;

}  // namespace

const std::vector<Note>& notes() {
  static const std::vector<Note> list = {
      {"survey 9.1, recommendation 1",
       [](Q q) {
         return q.answers.runtime == Runtime::Dense && q.answers.inputs == Inputs::Differ;
       },
       "Inputs that cost differently need kernels that skip, which a dense engine has not; see "
       "--runtime espalier."},
      {"survey 9.1, recommendation 1",
       [](Q q) { return q.answers.runtime == Runtime::NM && q.target.has_value(); },
       "2:4 removes half of every layer that has it; the target asks nothing more of these "
       "methods."},
      {"survey 9.1, recommendation 3",
       [](Q q) { return q.answers.labels == Labels::None; },
       "Training on a trained network's answers (--distill-from, --distill-weight 1) reads no "
       "label."},
      {"survey 9.1, recommendation 3",
       [](Q q) { return q.answers.labels == Labels::Few; },
       "A mask that was found where labels are many can be carried over: espalier train "
       "--mask-from FILE."},
      {"survey 9.1, recommendation 6",
       [](Q q) { return q.target && q.target->kind == BudgetKind::Bytes; },
       "Eight-bit integers come on top of pruning: espalier quantize."},
      {"survey 9.1, recommendation 8",
       [](Q q) { return q.network.blocks && q.answers.training != Training::None; },
       "With residual connections a pruned network trains better at a smaller learning rate."},
      {"survey 9.1, recommendation 7",
       [](Q q) { return q.answers.may_lose.has_value(); },
       "Where the floor is missed: less sparsity, more epochs, or the dense network as a teacher "
       "(--distill-from)."},
  };
  return list;
}

const std::vector<OpenQuestion>& open_questions() {
  using A = const Answers&;
  static const std::vector<OpenQuestion> list = {
      {"--runtime dense|espalier|n-m",
       [](A a) { return a.runtime == Runtime::Any; },
       "whether zeros may stay where they are"},
      {"--training none|some|full|many",
       [](A a) { return a.training == Training::Any; },
       "whether pruning comes before, during or after training"},
      {"--trained yes|no",
       [](A a) { return a.trained == Trained::Any; },
       "whether to start from weights that are there"},
      {"--target sparsity=S|size=X|macs=X|latency=X",
       [](A a) { return a.target.empty(); },
       "what is counted, and how much goes"},
      {"--labels all|few|none",
       [](A a) { return a.labels == Labels::Any; },
       "which scores can be computed"},
      {"--inputs alike|differ",
       [](A a) { return a.inputs == Inputs::Any; },
       "whether gates that skip by input come into question"},
      {"--may-lose POINTS",
       [](A a) { return !a.may_lose.has_value(); },
       "which recorded losses are too large"},
      {"--model NAME",
       [](A a) { return a.model.empty(); },
       "which methods the network has the layers for"},
  };
  return list;
}

}  // namespace espalier::experiments::advise
