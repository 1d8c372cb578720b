// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/advise/candidate.h>

#include <algorithm>

#include <espalier/prune/update/update.h>

namespace espalier::experiments::advise {
namespace {

bool is_n_m(const std::string& pattern) {
  return pattern.find(':') != std::string::npos;
}

/// The first of `wanted` that the method has; empty if it has none.
std::string first_of(const prune::Method& method, const std::vector<std::string>& wanted) {
  for (const std::string& one : wanted) {
    if (std::ranges::find(method.patterns, one) != method.patterns.end()) return one;
  }
  return {};
}

std::string pattern_for(const prune::Method& method, Runtime runtime, bool factors) {
  const bool gates = method.when == prune::When::Runtime;
  if (runtime == Runtime::Dense && !gates && !factors) return first_of(method, {"channel"});
  // Of N of 4 for each layer by powers of two, all layers run on hardware for 2 of 4.
  if (runtime == Runtime::NM && !gates) return first_of(method, {"2:4", "n:4"});
  return method.patterns.front();
}

void tell_parts(Candidate& out, const prune::Timeline& timeline) {
  for (const prune::Event& event : timeline.events) {
    out.acts_in_training = out.acts_in_training || event.until > event.from;
    const prune::UpdateParts* parts = event.action->parts();
    if (parts == nullptr) continue;
    out.searches = out.searches || parts->search != nullptr;
    out.repairs = out.repairs || parts->repair != nullptr;
    const prune::ScoreNeeds needs =
        parts->score == nullptr ? prune::ScoreNeeds::Weights : parts->score->needs();
    out.needs_labels =
        out.needs_labels || parts->search != nullptr || needs == prune::ScoreNeeds::Gradients;
    out.looks = out.looks || needs == prune::ScoreNeeds::Activations ||
                (parts->repair != nullptr && parts->repair->chooses());
  }
}

bool meets_target(const prune::Method& method,
                  const std::string& pattern,
                  const Question& question) {
  const bool asked = question.target && question.target->kind != prune::BudgetKind::Sparsity;
  const prune::Target target =
      asked ? *question.target : prune::Target{prune::BudgetKind::Macs, kUsualShare};
  try {
    const prune::MethodChoice choice = prune::choose_method(
        method, OptionTexts{{"pattern", pattern}, {"target", prune::text_of(target)}});
    return prune::target_refusal(choice.timeline(), target).empty();
  } catch (const Error&) {
    return false;  // where every layer has N:M
  }
}

}  // namespace

Candidate candidate_of(const prune::Method& method, const Question& question) {
  const bool factors = method.facts().stays;
  Candidate out{.method = &method,
                .pattern = pattern_for(method, question.answers.runtime, factors),
                .gates = method.when == prune::When::Runtime,
                .factors = factors};
  const std::string& pattern = out.pattern.empty() ? method.patterns.front() : out.pattern;
  const prune::Timeline timeline =
      prune::choose_method(method, OptionTexts{{"pattern", pattern}}).timeline();
  out.facts = prune::facts_of(timeline);
  tell_parts(out, timeline);
  out.meets = meets_target(method, pattern, question);
  out.by_design = out.pattern == method.patterns.front();
  out.cuts = out.pattern == "channel";
  out.n_m = is_n_m(out.pattern);
  out.rounds = timeline.recovery != nullptr;
  out.starts_trained = out.gates || (method.when == prune::When::After && !out.rounds);
  if (!out.pattern.empty()) {
    const bool single = !out.cuts && !out.n_m;
    const double removed = question.target ? question.target->removed()
                           : single        ? kUsualSparsity
                                           : 1.0 - kUsualShare;
    out.quotes =
        quotes_of(method.name, out.pattern, out.by_design, question.answers.model, removed);
  }
  return out;
}

}  // namespace espalier::experiments::advise
