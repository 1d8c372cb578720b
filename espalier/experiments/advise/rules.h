// SPDX-License-Identifier: Apache-2.0
/// The survey's recommendations (arXiv 2308.06767, section 9.1, numbered here in their order) and
/// comparisons (section 7) as a table: what an answer says for or against a method, and why.
#pragma once

#include <string>
#include <vector>

#include <espalier/experiments/advise/answers.h>
#include <espalier/experiments/advise/candidate.h>

namespace espalier::experiments::advise {

/// Points of a rule that leaves a method out.
inline constexpr int kOut = -1000;

/// One line of the table.
struct Rule {
  const char* name;                ///< `dense-cuts`
  const char* section;             ///< of the survey, or what follows from how this library works
  bool (*asked)(const Question&);  ///< whether the answers turn on it
  bool (*holds)(const Candidate&, const Question&);  ///< of which methods
  int points;          ///< for the method; against it where negative; kOut leaves it out
  const char* reason;  ///< as it is told
};
/// All rules. Where several leave a method out, the first is told.
const std::vector<Rule>& rules();

/// What an answer has to say of no method alone.
struct Note {
  const char* section;
  bool (*asked)(const Question&);
  const char* text;
};
/// All of them.
const std::vector<Note>& notes();

/// A question that is still open, and what an answer would decide.
struct OpenQuestion {
  const char* flag;  ///< `--labels all|few|none`
  bool (*open)(const Answers&);
  const char* decides;
};
/// All of them, what decides most first.
const std::vector<OpenQuestion>& open_questions();

}  // namespace espalier::experiments::advise
