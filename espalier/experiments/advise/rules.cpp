// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/advise/rules.h>

namespace espalier::experiments::advise {
namespace {

using prune::BudgetKind;
using prune::When;
using C = const Candidate&;
using Q = const Question&;

constexpr const char* kHardware = "survey 9.1, recommendation 1";
constexpr const char* kEffort = "survey 9.1, recommendation 2";
constexpr const char* kLabels = "survey 9.1, recommendation 3";
constexpr const char* kInputs = "survey 9.1, recommendation 5";
constexpr const char* kSizes = "survey 9.1, recommendation 6";
constexpr const char* kTradeOff = "survey 9.1, recommendation 7";
constexpr const char* kWorks = "how it works";
constexpr const char* kRecords = "recorded runs";

bool counts(Q q, BudgetKind kind) {
  return q.target && q.target->kind == kind;
}
bool has_other_target(Q q) {
  return q.target && q.target->kind != BudgetKind::Sparsity;
}
bool any(Q) {
  return true;
}
template <Runtime kRuntime>
bool runs_on(Q q) {
  return q.answers.runtime == kRuntime;
}
template <Training kTraining>
bool trains(Q q) {
  return q.answers.training == kTraining;
}
template <When kWhen>
bool is(C c, Q) {
  return c.method->when == kWhen;
}
bool takes_whole_training(C c, Q) {
  return c.method->when == When::Before || c.method->when == When::During;
}

const std::vector<Rule>& table() {
  static const std::vector<Rule> list = {
      // What can't be, or was not asked for.
      {"when",
       "asked for",
       [](Q q) { return q.answers.when != Moment::Any; },
       [](C c, Q q) {
         return static_cast<int>(c.method->when) + 1 != static_cast<int>(q.answers.when);
       },
       kOut,
       "chooses at another time than --when says"},
      {"needs-blocks",
       kWorks,
       [](Q q) { return q.network.known && !q.network.blocks; },
       [](C c, Q) { return c.facts.needs_blocks; },
       kOut,
       "needs residual blocks, which the network has not"},
      {"needs-norm",
       kWorks,
       [](Q q) { return q.network.known && !q.network.norms; },
       [](C c, Q) { return c.facts.needs_norm; },
       kOut,
       "needs batch norm, which the network has not"},

      // Hardware.
      {"dense-gates",
       kHardware,
       runs_on<Runtime::Dense>,
       [](C c, Q) { return c.gates; },
       kOut,
       "skips by input, for which a dense engine has no kernels"},
      {"dense-zeros",
       kHardware,
       runs_on<Runtime::Dense>,
       [](C c, Q) { return !c.cuts && !c.factors; },
       kOut,
       "leaves zeros in place, which a dense engine computes like all others"},
      {"dense-cuts",
       kHardware,
       runs_on<Runtime::Dense>,
       [](C c, Q) { return c.cuts && c.by_design; },
       3,
       "removes whole channels, which `espalier shrink` cuts out for any engine"},
      {"dense-factors",
       kHardware,
       runs_on<Runtime::Dense>,
       [](C c, Q) { return c.factors; },
       1,
       "puts two or three thin dense layers in the place of one, which any engine runs"},
      {"dense-channel-pattern",
       kHardware,
       runs_on<Runtime::Dense>,
       [](C c, Q) { return c.cuts && !c.by_design; },
       1,
       "made for single weights; with --pattern channel it removes what any engine gains from"},
      {"n-m-none",
       kHardware,
       runs_on<Runtime::NM>,
       [](C c, Q) { return !c.n_m; },
       kOut,
       "has no pattern that hardware for 2:4 runs"},
      {"n-m-by-design",
       kHardware,
       runs_on<Runtime::NM>,
       [](C c, Q) { return c.n_m && c.by_design; },
       2,
       "made for N:M, which the hardware runs"},
      {"n-m-pattern",
       kHardware,
       runs_on<Runtime::NM>,
       [](C c, Q) { return c.n_m && !c.by_design; },
       1,
       "has the pattern that the hardware runs"},
      {"sparse-kernels",
       kHardware,
       runs_on<Runtime::Espalier>,
       [](C c, Q) { return !c.cuts && !c.n_m && !c.gates && !c.factors; },
       1,
       "keeps more accuracy at equal sparsity than whole channels (survey 7.1), and sparse kernels "
       "run it"},

      // The target.
      {"size-gates",
       kInputs,
       [](Q q) { return counts(q, BudgetKind::Bytes) || counts(q, BudgetKind::Params); },
       [](C c, Q) { return c.gates; },
       kOut,
       "keeps all weights, so it gets no smaller"},
      {"target-refused",
       kWorks,
       has_other_target,
       [](C c, Q q) { return !c.meets && !runs_on<Runtime::NM>(q); },
       kOut,
       "can't meet such a target (`espalier train --prune` with it says why)"},
      {"target-n-m",
       kWorks,
       [](Q q) { return q.target && !runs_on<Runtime::NM>(q); },
       [](C c, Q) { return c.n_m; },
       kOut,
       "keeps N of M weights, whatever the target"},
      {"size-fusion",
       kSizes,
       [](Q q) { return counts(q, BudgetKind::Bytes); },
       [](C c, Q) { return c.method->how == prune::How::Fusion && !c.factors && !c.cuts; },
       3,
       "joins pruning and shared values, which `espalier compress` packs"},
      {"latency-cuts",
       "recorded runs (patterns.md)",
       [](Q q) { return counts(q, BudgetKind::Latency); },
       [](C c, Q) { return c.cuts; },
       2,
       "in batches, cut channels ran faster than any other pattern at equal sparsity"},
      {"macs-cuts",
       kHardware,
       [](Q q) { return counts(q, BudgetKind::Macs) && q.answers.runtime == Runtime::Any; },
       [](C c, Q) { return c.cuts; },
       1,
       "fewer multiply-accumulates in every engine, not in sparse kernels alone"},

      // What can be paid for.
      {"untrained-whole",
       kEffort,
       trains<Training::None>,
       takes_whole_training,
       kOut,
       "takes a whole training"},
      {"untrained-acts",
       kEffort,
       trains<Training::None>,
       [](C c, Q) { return c.rounds || c.acts_in_training || c.gates; },
       kOut,
       "is at work while a network trains"},
      {"untrained-rounds",
       kEffort,
       trains<Training::None>,
       [](C c, Q) { return !c.facts.one_shot; },
       kOut,
       "prunes in rounds, between which the network trains"},
      {"untrained-repairs",
       kEffort,
       trains<Training::None>,
       [](C c, Q) { return c.repairs; },
       3,
       "gives what stays new values, which stands in for training"},
      {"untrained-looks",
       kEffort,
       trains<Training::None>,
       [](C c, Q) { return c.looks; },
       2,
       "chooses by what samples do in the layers, in one pass without training"},
      {"some-whole",
       kEffort,
       trains<Training::Some>,
       takes_whole_training,
       kOut,
       "takes a whole training"},
      {"some-rounds",
       kEffort,
       trains<Training::Some>,
       [](C c, Q) { return c.rounds; },
       kOut,
       "trains again in every round"},
      {"some-iterates",
       "survey 7.2",
       trains<Training::Some>,
       [](C c, Q) { return !c.facts.one_shot && !c.gates; },
       1,
       "scores again while it fine-tunes: iterative pruning usually keeps more"},
      {"full-rounds",
       kEffort,
       trains<Training::Full>,
       [](C c, Q) { return c.rounds; },
       kOut,
       "takes several trainings"},
      {"full-during",
       kEffort,
       trains<Training::Full>,
       is<When::During>,
       2,
       "prunes within the one training"},
      {"full-two",
       kEffort,
       [](Q q) { return trains<Training::Full>(q) && q.answers.trained == Trained::No; },
       [](C c, Q) { return c.starts_trained; },
       -2,
       "needs a training before, and fine-tuning after"},
      {"many-rounds",
       kEffort,
       trains<Training::Many>,
       [](C c, Q) { return c.rounds; },
       3,
       "iterative pruning after training loses least at the same sparsity, where it can be paid "
       "for"},

      // The network that is there.
      {"trained-before",
       "survey 7.4 (initialized_pretrained.md)",
       [](Q q) { return q.answers.trained == Trained::Yes; },
       is<When::Before>,
       -2,
       "chooses before weights have learnt anything, though learnt ones are there"},
      {"trained-after",
       kTradeOff,
       [](Q q) { return q.answers.trained == Trained::Yes; },
       is<When::After>,
       1,
       "uses the trained network"},
      {"initial-before",
       kEffort,
       [](Q q) { return q.answers.trained == Trained::No && !trains<Training::Many>(q); },
       is<When::Before>,
       1,
       "costs one choice before the training that has to come anyway"},
      {"initial-during",
       kEffort,
       [](Q q) { return q.answers.trained == Trained::No && !trains<Training::Many>(q); },
       is<When::During>,
       1,
       "prunes within the training that has to come anyway"},

      // Labels.
      {"unlabelled-loss",
       kLabels,
       [](Q q) { return q.answers.labels == Labels::None; },
       [](C c, Q) { return c.needs_labels; },
       kOut,
       "chooses by a loss of labels"},
      {"unlabelled-free",
       kLabels,
       [](Q q) { return q.answers.labels == Labels::None; },
       [](C c, Q) { return c.facts.data_free || c.looks; },
       1,
       "chooses without labels"},
      {"few-loss",
       kLabels,
       [](Q q) { return q.answers.labels == Labels::Few; },
       [](C c, Q) { return c.needs_labels; },
       -2,
       "chooses by a loss of labels, of which there are few"},
      {"few-free",
       kLabels,
       [](Q q) { return q.answers.labels == Labels::Few; },
       [](C c, Q) { return c.facts.data_free || c.looks; },
       1,
       "chooses without labels"},

      // Inputs.
      {"differ-gates",
       kInputs,
       [](Q q) { return q.answers.inputs == Inputs::Differ; },
       [](C c, Q) { return c.gates; },
       6,
       "computes for each input what it needs, and keeps the whole network"},
      {"alike-gates",
       kInputs,
       [](Q q) { return q.answers.inputs == Inputs::Alike; },
       [](C c, Q) { return c.gates; },
       kOut,
       "its cost differs by input"},
      {"unsaid-gates",
       "survey 7.7 (static_dynamic.md)",
       [](Q q) { return q.answers.inputs == Inputs::Any && q.answers.when != Moment::Runtime; },
       [](C c, Q) { return c.gates; },
       -2,
       "keeps all weights, and cut channels kept more accuracy at equal cost"},

      // The floor.
      {"floor-missed",
       kRecords,
       [](Q q) { return q.answers.may_lose.has_value(); },
       [](C c, Q q) { return worst_loss(c.quotes).value_or(0.0) > q.answers.may_lose->value(); },
       -2,
       "its recorded loss is more than may be lost"},
      {"floor-kept",
       kRecords,
       [](Q q) { return q.answers.may_lose.has_value(); },
       [](C c, Q q) {
         const auto loss = worst_loss(c.quotes);
         return loss && *loss <= q.answers.may_lose->value();
       },
       1,
       "its recorded loss is within what may be lost"},

      // A search costs what it tries.
      {"search",
       kWorks,
       any,
       [](C c, Q) { return c.searches; },
       -1,
       "tries hundreds of candidates before it prunes"},
  };
  return list;
}

}  // namespace

const std::vector<Rule>& rules() {
  return table();
}

}  // namespace espalier::experiments::advise
