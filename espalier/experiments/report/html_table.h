// SPDX-License-Identifier: Apache-2.0
/// A table of the page: with a caption, headings that sort it, and a frame that scrolls where it is
/// wider than the screen.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace espalier::experiments::report {

/// One cell. With a key it is a number, sorted by it; an empty key: not known, always last.
struct HtmlCell {
  std::string text;
  std::optional<std::string> key = std::nullopt;
};

/// Headings and cells; the first cell of a row is its heading.
struct HtmlTable {
  std::string id;  ///< unique in the page
  std::string caption;
  std::vector<std::string> headings;
  std::vector<std::vector<HtmlCell>> rows;
  size_t texts = 1;        ///< columns that are texts, from the left; the others are numbers
  bool wide_last = false;  ///< the last column is a text that may break into lines

  /// The element, with its frame.
  std::string html() const;
};

}  // namespace espalier::experiments::report
