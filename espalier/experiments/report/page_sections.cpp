// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/report/page_sections.h>

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <espalier/experiments/machine.h>
#include <espalier/experiments/report/chart.h>
#include <espalier/experiments/report/html_table.h>

namespace espalier::experiments::report {
namespace {

using Json = nlohmann::ordered_json;

std::string text_of(const Json& value) {
  return value.is_null() ? "-" : value.is_string() ? value.get<std::string>() : value.dump();
}

/// A command whose lines break between its words only, not behind the hyphens of its options.
std::string command_words(const std::string& command) {
  std::string out;
  std::string word;
  bool quoted = false;
  const auto end_word = [&] {
    out += (out.empty() ? "<span>" : " <span>") + html_escape(word) + "</span>";
    word.clear();
  };
  // Between quotes a space is part of the word. A quote behind a backslash doesn't end them: in
  // '\'' it stands outside, in $'\'' it is the word's.
  for (size_t i = 0; i < command.size(); ++i) {
    const char c = command[i];
    if (c == '\\' && i + 1 < command.size()) {
      word += c;
      word += command[++i];
    } else if (c == ' ' && !quoted) {
      end_word();
    } else {
      if (c == '\'') quoted = !quoted;
      word += c;
    }
  }
  end_word();
  return out;
}

}  // namespace

std::string details(std::string id,
                    const std::string& summary,
                    const std::string& content,
                    bool open) {
  if (content.empty()) return {};
  std::replace(id.begin(), id.end(), ' ', '-');  // HTML allows no space in an id
  return fmt::format("<details id=\"{}\"{}><summary>{}</summary>\n{}</details>\n",
                     html_escape(id),
                     open ? " open" : "",
                     html_escape(summary),
                     content);
}

std::string soft(const std::string& text) {
  return "<p class=\"soft\">" + text + "</p>\n";
}

std::string commands_section(const Report& report) {
  std::string out;
  std::set<std::string> seen;
  for (const ReportRun& run : report.runs()) {
    if (run.command.empty()) continue;
    const bool one_for_all = run.settings.empty();
    if (one_for_all && !seen.insert(run.command).second) continue;
    out += fmt::format("<dt>{}</dt><dd><code>{}</code></dd>\n",
                       one_for_all ? "all runs of the experiment" : html_escape(run.name),
                       command_words(run.command));
  }
  return out.empty() ? out
                     : soft(
                           "Settings that are not named have their defaults. Data is looked for "
                           "in $ESPALIER_DATA.") +
                           "<dl>" + out + "</dl>\n";
}

std::string settings_section(const Report& report) {
  std::vector<std::string> names;
  for (const ReportRun& run : report.runs()) {
    for (const auto& [name, value] : run.settings.items()) {
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    }
  }
  if (names.empty()) return {};
  HtmlTable table;
  table.id = "settings-table";
  table.caption = "Settings in which the runs differ.";
  table.headings = {"run"};
  std::string common;
  std::vector<std::string> differing;
  for (const std::string& name : names) {
    std::set<std::string> values;
    for (const ReportRun& run : report.runs()) {
      if (!run.settings.empty()) values.insert(text_of(run.settings.value(name, Json())));
    }
    if (values.size() == 1) {
      const std::string value = *values.begin();
      common +=
          fmt::format("{}{} {}", common.empty() ? "" : ", ", name, value.empty() ? "none" : value);
    } else {
      differing.push_back(name);
      table.headings.push_back(name);
    }
  }
  table.texts = table.headings.size();
  for (const ReportRun& run : report.runs()) {
    if (run.settings.empty()) continue;
    std::vector<HtmlCell> row = {{run.name}};
    for (const std::string& name : differing)
      row.push_back({text_of(run.settings.value(name, Json()))});
    table.rows.push_back(std::move(row));
  }
  std::string out = "<p>In all runs: " + html_escape(common) + ".</p>\n";
  if (!differing.empty()) out += details("settings-differ", "Where they differ", table.html());
  return out;
}

std::string machine_section(const Report& report) {
  std::map<std::string, int> machines;
  for (const ReportRun& run : report.runs()) {
    std::string text;
    for (const auto& [name, value] : run.machine.items()) {
      text += fmt::format("{}{} {}", text.empty() ? "" : ", ", name, text_of(value));
    }
    if (!text.empty()) ++machines[text];
  }
  std::string out;
  for (const auto& [text, count] : machines) {
    out += fmt::format("<p>{} run{}: {}.</p>\n", count, count == 1 ? "" : "s", html_escape(text));
  }
  return out;
}

}  // namespace espalier::experiments::report
