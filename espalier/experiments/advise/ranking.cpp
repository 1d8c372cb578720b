// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/advise/ranking.h>

#include <algorithm>
#include <limits>
#include <tuple>

namespace espalier::experiments::advise {
namespace {

Ranked judged(const prune::Method& method, const Question& question) {
  Ranked out{.candidate = candidate_of(method, question)};
  for (const Rule& rule : rules()) {
    if (!rule.asked(question) || !rule.holds(out.candidate, question)) continue;
    out.reasons.push_back(&rule);
    out.points += rule.points;
  }
  return out;
}

const Rule* leaves_out(const Ranked& ranked) {
  const auto found = std::ranges::find(ranked.reasons, kOut, &Rule::points);
  return found == ranked.reasons.end() ? nullptr : *found;
}

/// Recorded figures of different patterns are of different sparsities: they don't compare.
int kind_of(const Candidate& candidate) {
  if (candidate.gates) return 3;
  if (candidate.cuts) return 2;
  return candidate.n_m ? 1 : 0;
}

bool comes_before(const Ranked& a, const Ranked& b) {
  const auto key = [](const Ranked& one) {
    const double none = -std::numeric_limits<double>::infinity();
    return std::tuple(
        -one.points, kind_of(one.candidate), -mean_gain(one.candidate.quotes).value_or(none));
  };
  return key(a) < key(b);
}

}  // namespace

Advice advice(const Question& question) {
  Advice out;
  for (const prune::Method& method : prune::methods()) {
    Ranked one = judged(method, question);
    if (const Rule* rule = leaves_out(one)) {
      out.out.emplace_back(rule, method.name);
    } else {
      out.ranked.push_back(std::move(one));
    }
  }
  std::ranges::stable_sort(out.ranked, comes_before);
  for (const Note& note : notes()) {
    if (note.asked(question)) out.notes.push_back(&note);
  }
  for (const OpenQuestion& open : open_questions()) {
    if (open.open(question.answers)) out.open.push_back(&open);
  }
  return out;
}

}  // namespace espalier::experiments::advise
