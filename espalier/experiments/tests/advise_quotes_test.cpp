// SPDX-License-Identifier: Apache-2.0
// What `advise` quotes against the pages of espalier/experiments/results, which the runner wrote.
#include <cmath>
#include <map>

#include <fmt/format.h>

#include <espalier/experiments/advise/recorded.h>
#include <espalier/experiments/csv.h>

#include "advise_runs.h"
#include "command_line.h"

namespace espalier::experiments::advise {
namespace {

using espalier::testing::slurp;

std::filesystem::path results() {
  return std::filesystem::path(ESPALIER_SOURCE_DIR) / "espalier" / "experiments" / "results";
}

/// The cells of every row of a page's tables.
std::vector<std::vector<std::string>> rows_of_page(const std::string& name) {
  std::vector<std::vector<std::string>> out;
  std::istringstream lines(slurp(results() / name));
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("| ")) continue;
    std::vector<std::string> cells;
    for (size_t begin = 2; begin < line.size();) {
      const size_t end = std::min(line.find(" |", begin), line.size());
      cells.push_back(line.substr(begin, end - begin));
      begin = end + 3;
    }
    out.push_back(cells);
  }
  return out;
}

bool near(const std::string& text, double value) {
  return std::abs(std::strtod(text.c_str(), nullptr) - value) < 1e-4;
}

/// A row of "Results": model, data, method, variant, asked, reached, accuracy, ..
std::string accuracy_on_page(const Quote& quote, const std::string& method) {
  for (const auto& cells : rows_of_page(quote.page)) {
    if (cells.size() < 10 || cells[0] != quote.model || cells[1] != quote.data) continue;
    if (cells[2] != method) continue;
    const bool dense = method == "dense" && cells[3].empty();
    if (dense || (cells[3] == quote.variant && near(cells[4], quote.asked))) {
      return cells[6].substr(0, cells[6].find(' '));
    }
  }
  return "no row";
}

/// The table has milliseconds with four digits, of networks that take 0.03; the page two digits.
constexpr double kOfOneImage = 0.015;

/// A row of "Speed": model, method, variant, sparsity, MACs, of dense, .., speed-up, .., speed-up.
std::vector<std::string> speed_on_page(const Quote& quote) {
  for (const auto& cells : rows_of_page(quote.page)) {
    if (cells.size() == 12 && cells[0] == quote.model && cells[1] == quote.method &&
        cells[2] == quote.variant && near(cells[3], quote.removed)) {
      return cells;
    }
  }
  return {};
}

TEST(AdviseQuotes, TablesInTheProgramAreThoseOfTheFolder) {
  for (const char* name : {"methods", "patterns", "one_shot_iterative"}) {
    EXPECT_EQ(recorded_csv(name), slurp(results() / (std::string(name) + ".csv"))) << name;
  }
  EXPECT_THROW(recorded_csv("speeds"), ValueError);
}

TEST(AdviseQuotes, EveryQuotedNumberStandsOnItsPage) {
  std::map<std::string, int> quoted;
  for (const OptionTexts& texts :
       {OptionTexts{}, OptionTexts{{"runtime", "dense"}}, OptionTexts{{"runtime", "n-m"}}}) {
    for (const Ranked& one : advice_for(texts).ranked) {
      for (const Quote& quote : one.candidate.quotes) {
        const std::string what = quote.page + ": " + quote.method + ", " + words_of(quote);
        EXPECT_EQ(fmt::format("{:.2f}", quote.accuracy), accuracy_on_page(quote, quote.method))
            << what;
        EXPECT_EQ(fmt::format("{:.2f}", quote.dense), accuracy_on_page(quote, "dense")) << what;
        EXPECT_NE(words_of(quote).find(accuracy_on_page(quote, quote.method) + " % right"),
                  std::string::npos)
            << what;
        EXPECT_EQ(quote.seeds, 3) << what;
        ++quoted[quote.page];
        EXPECT_EQ(quote.batches.has_value(), quote.page != "one_shot_iterative.md") << what;
        if (!quote.batches) continue;
        const std::vector<std::string> cells = speed_on_page(quote);
        ASSERT_FALSE(cells.empty()) << what;
        EXPECT_EQ(fmt::format("{:.1f} %", 100.0 * quote.macs.value()), cells[5]) << what;
        EXPECT_EQ(fmt::format("{:.2f}", *quote.batches), cells[8]) << what;
        EXPECT_NEAR(quote.one.value(), std::strtod(cells[11].c_str(), nullptr), kOfOneImage)
            << what;
      }
    }
  }
  EXPECT_GT(quoted["methods.md"], 30);
  EXPECT_EQ(quoted["patterns.md"], 4);  // magnitude in channels, and in 2:4, on two networks
  EXPECT_EQ(quoted["one_shot_iterative.md"], 8);  // magnitude and SynFlow, both ways
}

// The head of methods.md says which rows say nothing; once it is made again, nothing is taken back.
TEST(AdviseQuotes, WhatThePageTakesBackIsNotQuoted) {
  const std::string page = slurp(results() / "methods.md");
  const std::string head = page.substr(0, page.find("**Taken back"));
  for (const auto& [method, title] : std::map<std::string, std::string>{{"sparsegpt", "SparseGPT"},
                                                                        {"taylor", "Taylor"},
                                                                        {"fisher", "Fisher"},
                                                                        {"ssl", "SSL"}}) {
    EXPECT_NE(head.find(title), std::string::npos) << title;
    EXPECT_NE(taken_back(method), "") << method;
    for (const Ranked& one : advice_for({}).ranked) {
      if (one.candidate.method->name != method) continue;
      EXPECT_TRUE(one.candidate.quotes.empty()) << method;
    }
  }
  EXPECT_EQ(taken_back("magnitude"), "");
}

TEST(AdviseQuotes, OfTheNetworkThatWasNamedWhereItIsRecorded) {
  const auto of = [](const OptionTexts& texts) {
    const Advice told = advice_for(texts);
    std::map<std::string, int> out;
    const auto at = static_cast<size_t>(place(told, "magnitude"));
    for (const Quote& quote : told.ranked.at(at).candidate.quotes) {
      if (quote.page == "methods.md") ++out[quote.model];
    }
    return out;
  };
  EXPECT_EQ(of({}), (std::map<std::string, int>{{"resnet20", 1}, {"vgg16", 1}}));
  EXPECT_EQ(of({{"model", "vgg16"}}), (std::map<std::string, int>{{"vgg16", 1}}));
  EXPECT_EQ(of({{"model", "resnet56"}}), of({}));
}

// The rule `latency-cuts` says so of patterns.csv.
TEST(AdviseQuotes, InBatchesChannelsRanFasterThanEveryOtherPattern) {
  const auto table = parse_csv(slurp(results() / "patterns.csv"), "patterns.csv");
  const auto column = [&](const char* name) {
    return std::ranges::find(table[0], name) - table[0].begin();
  };
  std::map<std::pair<std::string, std::string>, std::map<std::string, double>> best;
  for (size_t i = 1; i < table.size(); ++i) {
    const auto cell = [&](const char* name) { return table[i][static_cast<size_t>(column(name))]; };
    if (cell("method") == "dense") continue;
    best[{cell("model"), cell("sparsity_asked")}][cell("variant")] +=
        std::stod(cell("speed_images_per_second")) /
        std::stod(cell("speed_images_per_second_dense"));
  }
  EXPECT_EQ(best.size(), 4U);
  for (const auto& [where, patterns] : best) {
    for (const auto& [pattern, sum] : patterns) {
      if (pattern == "channel") continue;
      EXPECT_GT(patterns.at("channel"), sum) << where.first << " " << where.second << pattern;
    }
  }
}

}  // namespace
}  // namespace espalier::experiments::advise
