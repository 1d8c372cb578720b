// SPDX-License-Identifier: Apache-2.0
/// Which methods answers speak for: a pure function of the answers, the registry and the recorded
/// runs.
#pragma once

#include <map>
#include <string>
#include <vector>

#include <espalier/experiments/advise/candidate.h>
#include <espalier/experiments/advise/rules.h>

namespace espalier::experiments::advise {

/// A method with what speaks for and against it.
struct Ranked {
  Candidate candidate = {};
  int points = 0;                         ///< the sum over `reasons`
  std::vector<const Rule*> reasons = {};  ///< those that hold, in the order of the table
};

/// What the answers come to.
struct Advice {
  std::vector<Ranked> ranked = {};                            ///< the best first
  std::vector<std::pair<const Rule*, std::string>> out = {};  ///< left out: why, and the method
  std::vector<const Note*> notes = {};                        ///< that these answers call for
  std::vector<const OpenQuestion*> open = {};                 ///< not answered
};

/// Methods by points; of equal ones those that remove single weights come before N:M, and these
/// before channels and gates; then by what they gained in the recorded runs, those without any
/// last; then in the order of the taxonomy.
Advice advice(const Question& question);

}  // namespace espalier::experiments::advise
