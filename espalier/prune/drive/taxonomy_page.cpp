// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/drive/taxonomy_page.h>

#include <array>
#include <string_view>

#include <espalier/prune/drive/registry.h>

namespace espalier::prune {
namespace {

constexpr std::array kSpeedups = {
    Speedup::Unstructured, Speedup::SemiStructured, Speedup::Structured};

/// Prose in which no character is taken for a mark.
std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (std::string_view("\\`*_<>|[]#").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

/// A formula or a name, letter by letter; one with a backtick needs a longer fence.
std::string code(const std::string& text) {
  if (text.find('`') == std::string::npos) return "`" + text + "`";
  return "`` " + text + " ``";
}

std::string list_of(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& one : names) out += (out.empty() ? "" : ", ") + code(one);
  return out;
}

/// The paper, with its arXiv number as a link.
std::string linked(const std::string& paper) {
  const std::string mark = "arXiv ";
  std::string out;
  size_t done = 0;
  for (size_t at = paper.find(mark); at != std::string::npos; at = paper.find(mark, done)) {
    const size_t number = at + mark.size();
    size_t end = paper.find_first_not_of("0123456789.", number);
    if (end == std::string::npos) end = paper.size();
    const std::string id = paper.substr(number, end - number);
    out += escaped(paper.substr(done, at - done));
    out += id.empty() ? mark : cat("[", mark, id, "](https://arxiv.org/abs/", id, ")");
    done = end;
  }
  return out + escaped(paper.substr(done));
}

/// What GitHub makes of the heading of a method's section.
std::string link_to(const Method& method) {
  return cat("[", method.name, "](#", method.name, ")");
}

std::string overview() {
  std::string out = "| |";
  for (const Speedup speedup : kSpeedups) out += cat(" ", name(speedup), " |");
  out += "\n|---|---|---|---|\n";
  for (const When when : kMoments) {
    out += cat("| ", title(when), " |");
    for (const Speedup speedup : kSpeedups) {
      std::string cell;
      for (const Method& method : methods()) {
        if (method.when != when || method.speedup() != speedup) continue;
        cell += cat(cell.empty() ? "" : ", ", link_to(method));
      }
      out += cat(" ", cell.empty() ? "–" : cell, " |");
    }
    out += "\n";
  }
  return out;
}

std::string range(const Option& option) {
  if (option.kind == OptionKind::Choice) return list_of(option.choices);
  if (option.kind == OptionKind::Integer) {
    return cat(static_cast<int64_t>(option.min), " .. ", static_cast<int64_t>(option.max));
  }
  if (option.kind == OptionKind::Real) return cat(option.min, " .. ", option.max);
  return name(option.kind);
}

std::string options_table(const std::vector<Option>& options) {
  std::string out = "| option | default | values | unit | |\n|---|---|---|---|---|\n";
  for (const Option& option : options) {
    out += cat("| ",
               code("--" + option.name),
               " | ",
               option.default_value.empty() ? "none" : code(option.default_value),
               " | ",
               range(option),
               " | ",
               escaped(option.unit),
               " | ",
               escaped(option.help),
               " |\n");
  }
  return out;
}

std::string section(const Method& method) {
  const MethodFacts facts = method.facts();
  std::string out = cat("### ", method.name, "\n\n");
  out +=
      cat("**", escaped(method.title), "** (", method.year, "). ", linked(method.paper), ".\n\n");
  out += cat(escaped(method.idea), "\n\n");
  out += cat("- Place: ",
             name(method.speedup()),
             ", ",
             name(method.how),
             facts.one_shot ? ", one-shot" : ", in several updates",
             facts.global ? ", layers compete for one budget" : ", every layer has its own budget",
             facts.data_free ? ", needs no data" : ", needs data",
             facts.needs_blocks ? ", needs residual blocks" : "",
             facts.revives ? ", removed weights may come back" : "",
             "\n");
  out += cat("- Formula: ", code(method.formula), "\n");
  out += cat("- Schedule: ", escaped(method.schedule), "\n");
  if (!method.differs.empty()) {
    out += cat("- Differs from what is published: ", escaped(method.differs), "\n");
  }
  if (!method.use_when.empty()) out += cat("- Use it when: ", escaped(method.use_when), "\n");
  if (!method.not_when.empty()) out += cat("- Not when: ", escaped(method.not_when), "\n");
  out += cat("- Patterns: ", list_of(method.patterns), "\n\n");
  if (!method.options.empty()) out += options_table(method.options) + "\n";
  return out;
}

}  // namespace

std::string methods_markdown() {
  std::string out =
      "# The pruning methods\n\n"
      "<!-- Written by `espalier methods --markdown` from the registry; a test compares. "
      "Don't edit. -->\n\n";
  out += cat(methods().size(),
             " methods, placed as in the survey (Cheng, Zhang, Shi, "
             "[arXiv 2308.06767](https://arxiv.org/abs/2308.06767), Figure 2): when weights are "
             "chosen, and what kind of speed-up the default pattern gives. A method that has more "
             "patterns may stand in more columns; its section lists them. "
             "[How to write one](09_write_a_method.md).\n\n");
  out += overview() + "\n";
  for (const When when : kMoments) {
    std::string sections;
    for (const Method& method : methods()) {
      if (method.when == when) sections += section(method);
    }
    if (!sections.empty()) out += cat("## ", title(when), "\n\n", sections);
  }
  out += "## Options of every method\n\n" + options_table(prune_settings().options());
  return out;
}

}  // namespace espalier::prune
