// SPDX-License-Identifier: Apache-2.0
#include <sstream>

#include <gtest/gtest.h>

#include <espalier/prune/drive/registry.h>
#include <espalier/prune/drive/taxonomy_page.h>

namespace espalier::prune {
namespace {

int count(const std::string& text, const std::string& what) {
  int found = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++found;
  return found;
}

/// Cells of a table's row: bars that are not escaped, less one.
int cells(const std::string& row) {
  int bars = 0;
  for (size_t i = 0; i < row.size(); ++i) bars += row[i] == '|' && (i == 0 || row[i - 1] != '\\');
  return bars - 1;
}

TEST(TaxonomyPage, EveryMethodHasOneSectionAndStandsOnceInTheTable) {
  const std::string page = methods_markdown();
  for (const Method& method : methods()) {
    EXPECT_EQ(count(page, "\n### " + method.name + "\n"), 1) << method.name;
    EXPECT_EQ(count(page, "(#" + method.name + ")"), 1) << method.name;
    const bool has_tick = method.formula.find('`') != std::string::npos;
    const std::string open = has_tick ? "`` " : "`";
    const std::string close = has_tick ? " ``" : "`";
    EXPECT_EQ(count(page, "- Formula: " + open + method.formula + close + "\n"), 1) << method.name;
  }
}

TEST(TaxonomyPage, RowsOfATableHaveTheCellsOfItsHead) {
  std::istringstream page(methods_markdown());
  int expected = 0;
  int rows = 0;
  for (std::string line; std::getline(page, line);) {
    if (!line.starts_with("|")) {
      expected = 0;
      continue;
    }
    if (expected == 0) expected = cells(line);
    EXPECT_EQ(cells(line), expected) << line;
    ++rows;
  }
  EXPECT_GT(rows, 6);
}

TEST(TaxonomyPage, PapersLinkToArxiv) {
  const std::string page = methods_markdown();
  EXPECT_NE(page.find("Zhu, Gupta, [arXiv 1710.01878](https://arxiv.org/abs/1710.01878)."),
            std::string::npos);
  EXPECT_NE(page.find("[arXiv 1803.03635](https://arxiv.org/abs/1803.03635); Frankle et al., "
                      "[arXiv 1912.05671](https://arxiv.org/abs/1912.05671)."),
            std::string::npos);
}

}  // namespace
}  // namespace espalier::prune
