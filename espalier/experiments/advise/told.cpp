// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/advise/told.h>

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <espalier/core/detail/wrapped.h>
#include <espalier/experiments/advise/commands.h>

namespace espalier::experiments::advise {
namespace {

using Json = nlohmann::ordered_json;
using espalier::detail::wrapped;

/// Lines that begin with `label`, the others under the first word behind it.
std::string row(const std::string& label, const std::string& text) {
  return label + wrapped(text, label.size()) + "\n";
}

std::string place(const Candidate& candidate) {
  const prune::Method& method = *candidate.method;
  return fmt::format(
      "{}, {}, pattern {}",
      method.when == prune::When::Runtime ? "at run time" : prune::name(method.when) + " training",
      prune::name(method.how),
      candidate.pattern);
}

/// A command that a shell reads as one though it takes several lines.
std::string command_rows(const std::string& command) {
  constexpr const char* kIndent = "       ";
  constexpr size_t kColumns = 96;  // with blanks and a backslash 98
  std::string out;
  std::string line = kIndent;
  for (size_t begin = 0; begin < command.size();) {
    const size_t end = std::min(command.find(" --", begin + 1), command.size());
    const std::string part = command.substr(begin, end - begin);
    if (line.size() + part.size() > kColumns) {
      out += line + " \\\n";
      line = std::string(kIndent) + "   ";
    }
    line += part;
    begin = end;
  }
  return out + line + "\n";
}

std::string ranked_text(const Ranked& ranked, size_t number, const Question& question) {
  const Candidate& candidate = ranked.candidate;
  const prune::Method& method = *candidate.method;
  std::string out = row(fmt::format("{}. ", number),
                        fmt::format("{}: {} ({})", method.name, method.title, place(candidate)));
  for (const Rule* rule : ranked.reasons) {
    out += row(rule->points > 0 ? "   + " : "   - ",
               fmt::format("{} ({})", rule->reason, rule->section));
  }
  for (const Quote& quote : candidate.quotes) {
    out += row("   recorded  ", fmt::format("{}: {}", quote.page, words_of(quote)));
  }
  const std::string fault = taken_back(method.name);
  if (candidate.by_design && !fault.empty()) {
    out += row("   recorded  ", fmt::format("its runs in methods.md are taken back: {}", fault));
  }
  if (!method.use_when.empty()) out += row("   use when  ", method.use_when);
  if (!method.not_when.empty()) out += row("   not when  ", method.not_when);
  for (const Step& step : steps_for(candidate, question)) {
    out += row("   # ", step.why) + command_rows(command_line(step));
  }
  return out;
}

std::string left_out_text(const Advice& advice) {
  std::string out;
  for (const Rule& rule : rules()) {
    std::string names;
    for (const auto& [why, name] : advice.out) {
      if (why == &rule) names += (names.empty() ? "" : ", ") + name;
    }
    if (names.empty()) continue;
    out += row("   ", fmt::format("{} ({}): {}", rule.reason, rule.section, names));
  }
  return out.empty() ? out : "Left out:\n" + out + "\n";
}

std::string answers_text(const Answers& answers) {
  std::string out;
  for (const auto& [name, value] : answers_table().texts(answers)) {
    if (value.empty() || value == "any" || name == "data") continue;
    out += (out.empty() ? "" : ", ") + name + " " + value;
  }
  return out.empty() ? "nothing" : out;
}

std::string open_text(const Advice& advice) {
  if (advice.open.empty()) return "Nothing more to ask: every question has an answer.\n";
  std::string out = "What would narrow it down:\n";
  for (const OpenQuestion* open : advice.open) {
    out += row(fmt::format("   {:<43} ", open->flag), open->decides);
  }
  return out;
}

}  // namespace

std::string advice_text(const Question& question, const Advice& advice, size_t most) {
  std::string out = row("Asked: ", answers_text(question.answers)) + "\n";
  const size_t shown = std::min(most, advice.ranked.size());
  for (size_t i = 0; i < shown; ++i) {
    out += ranked_text(advice.ranked[i], i + 1, question) + "\n";
  }
  if (shown == 0) out += "No method fits all of this.\n\n";
  std::string others;
  for (size_t i = shown; i < advice.ranked.size(); ++i) {
    others += (others.empty() ? "" : ", ") + advice.ranked[i].candidate.method->name;
  }
  if (!others.empty()) out += row("Then: ", others) + "\n";
  out += left_out_text(advice);
  for (const Note* note : advice.notes) {
    out += row("Note: ", fmt::format("{} ({})", note->text, note->section));
  }
  if (!advice.notes.empty()) out += "\n";
  out += wrapped(
             "Recorded figures are means over three seeds of short trainings at a quarter of the "
             "width (espalier/experiments/results), where methods that start trained had twice "
             "the epochs of the dense network: they rank methods, and promise nothing for another "
             "network.",
             0) +
         "\n\n";
  return out + open_text(advice);
}

namespace {

Json quote_json(const Quote& quote) {
  Json out = {{"page", quote.page},
              {"model", quote.model},
              {"data", quote.data},
              {"variant", quote.variant},
              {"sparsity_asked", quote.asked},
              {"sparsity", quote.removed},
              {"accuracy", quote.accuracy},
              {"accuracy_dense", quote.dense},
              {"seeds", quote.seeds}};
  if (quote.macs) out["macs_executed"] = *quote.macs;
  if (quote.batches) out["speedup_batches"] = *quote.batches;
  if (quote.one) out["speedup_one_image"] = *quote.one;
  return out;
}

Json ranked_json(const Ranked& ranked, const Question& question) {
  const Candidate& candidate = ranked.candidate;
  Json reasons = Json::array();
  for (const Rule* rule : ranked.reasons) {
    reasons.push_back({{"rule", rule->name},
                       {"points", rule->points},
                       {"reason", rule->reason},
                       {"section", rule->section}});
  }
  Json recorded = Json::array();
  for (const Quote& quote : candidate.quotes) recorded.push_back(quote_json(quote));
  Json commands = Json::array();
  for (const Step& step : steps_for(candidate, question)) {
    commands.push_back({{"why", step.why}, {"command", command_line(step)}});
  }
  return {{"name", candidate.method->name},
          {"pattern", candidate.pattern},
          {"points", ranked.points},
          {"reasons", reasons},
          {"use_when", candidate.method->use_when},
          {"not_when", candidate.method->not_when},
          {"recorded", recorded},
          {"taken_back", candidate.by_design ? taken_back(candidate.method->name) : ""},
          {"commands", commands}};
}

}  // namespace

Json advice_json(const Question& question, const Advice& advice) {
  Json methods = Json::array();
  for (const Ranked& one : advice.ranked) methods.push_back(ranked_json(one, question));
  Json out = Json::array();
  for (const auto& [rule, name] : advice.out) {
    out.push_back({{"method", name}, {"reason", rule->reason}, {"section", rule->section}});
  }
  Json told = Json::array();
  for (const Note* note : advice.notes) {
    told.push_back({{"text", note->text}, {"section", note->section}});
  }
  Json open = Json::array();
  for (const OpenQuestion* one : advice.open) {
    open.push_back({{"flag", one->flag}, {"decides", one->decides}});
  }
  return {{"answers", answers_table().texts(question.answers)},
          {"methods", methods},
          {"left_out", out},
          {"notes", told},
          {"open", open}};
}

}  // namespace espalier::experiments::advise
