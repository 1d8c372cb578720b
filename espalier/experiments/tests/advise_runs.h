// SPDX-License-Identifier: Apache-2.0
/// Advice for answers as texts. Tests only.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include <espalier/experiments/advise/ranking.h>

namespace espalier::experiments::advise {

inline Question question_of(const OptionTexts& texts) {
  return asked(answers_table().read("advise", texts));
}

inline Advice advice_for(const OptionTexts& texts) {
  return advice(question_of(texts));
}

inline std::vector<std::string> names(const Advice& advice) {
  std::vector<std::string> out;
  for (const Ranked& one : advice.ranked) out.push_back(one.candidate.method->name);
  return out;
}

/// Place of a method, from 0; -1 where it is left out.
inline int place(const Advice& advice, const std::string& method) {
  const std::vector<std::string> all = names(advice);
  const auto found = std::ranges::find(all, method);
  return found == all.end() ? -1 : static_cast<int>(found - all.begin());
}

/// The rules that speak for or against a method, or leave it out.
inline std::vector<std::string> reasons(const Advice& advice, const std::string& method) {
  std::vector<std::string> out;
  for (const Ranked& one : advice.ranked) {
    if (one.candidate.method->name != method) continue;
    for (const Rule* rule : one.reasons) out.emplace_back(rule->name);
  }
  for (const auto& [rule, name] : advice.out) {
    if (name == method) out.emplace_back(rule->name);
  }
  return out;
}

inline bool says(const Advice& advice, const std::string& method, const std::string& rule) {
  const std::vector<std::string> all = reasons(advice, method);
  return std::ranges::find(all, rule) != all.end();
}

/// Answers that between them ask every question in every way, alone and in the pairs that matter.
inline std::vector<OptionTexts> many_answers() {
  return {{},
          {{"runtime", "dense"}},
          {{"runtime", "dense"}, {"target", "macs=0.5"}, {"training", "some"}, {"trained", "yes"}},
          {{"runtime", "dense"}, {"target", "latency=0.5"}, {"trained", "yes"}},
          {{"runtime", "dense"}, {"target", "0.6"}, {"training", "full"}, {"trained", "no"}},
          {{"runtime", "dense"}, {"inputs", "differ"}, {"labels", "none"}, {"trained", "yes"}},
          {{"runtime", "espalier"}, {"target", "0.95"}, {"model", "vgg16"}},
          {{"runtime", "espalier"}, {"training", "none"}, {"trained", "yes"}},
          {{"runtime", "espalier"}, {"training", "many"}},
          {{"runtime", "espalier"}, {"target", "params=0.3"}, {"labels", "few"}},
          {{"runtime", "n-m"}},
          {{"runtime", "n-m"}, {"target", "macs=0.5"}, {"training", "full"}, {"trained", "no"}},
          {{"runtime", "n-m"}, {"training", "none"}, {"labels", "none"}, {"trained", "yes"}},
          {{"target", "size=0.1"}, {"training", "some"}, {"trained", "yes"}},
          {{"target", "macs=0.3"}},
          {{"inputs", "differ"}, {"training", "some"}, {"model", "resnet20"}},
          {{"inputs", "differ"}, {"target", "macs=0.5"}, {"model", "vgg16"}},
          {{"inputs", "differ"}, {"target", "latency=0.5"}},
          {{"inputs", "alike"}, {"may-lose", "0.5"}},
          {{"when", "before"}, {"may-lose", "3"}},
          {{"when", "runtime"}, {"target", "sparsity=0.4"}},
          {{"labels", "none"}, {"training", "some"}},
          {{"labels", "few"}, {"trained", "no"}},
          {{"model", "lenet300"}},
          {{"trained", "no"}, {"training", "full"}}};
}

}  // namespace espalier::experiments::advise
