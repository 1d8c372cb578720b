// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/report/html_table.h>

#include <fmt/format.h>

#include <espalier/experiments/report/chart.h>

namespace espalier::experiments::report {

std::string HtmlTable::html() const {
  const auto style = [&](size_t column) {
    if (wide_last && column + 1 == headings.size()) return " class=\"text wide\"";
    return column < texts ? " class=\"text\"" : "";
  };
  std::string out = fmt::format(
      "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-labelledby=\"{0}-caption\">"
      "<table id=\"{0}\"><caption id=\"{0}-caption\">{1}</caption><thead><tr>",
      html_escape(id),
      html_escape(caption));
  for (size_t c = 0; c < headings.size(); ++c) {
    out += fmt::format(
        "<th scope=\"col\"{} aria-sort=\"none\"><button type=\"button\">{}</button></th>",
        style(c),
        html_escape(headings[c]));
  }
  out += "</tr></thead><tbody>\n";
  for (const std::vector<HtmlCell>& row : rows) {
    out += "<tr>";
    for (size_t c = 0; c < row.size(); ++c) {
      out +=
          fmt::format("<{0}{1}{2}>{3}</{4}>",
                      c == 0 ? "th scope=\"row\"" : "td",
                      style(c),
                      row[c].key ? fmt::format(" data-key=\"{}\"", html_escape(*row[c].key)) : "",
                      html_escape(row[c].text),
                      c == 0 ? "th" : "td");
    }
    out += "</tr>\n";
  }
  return out + "</tbody></table></div>\n";
}

}  // namespace espalier::experiments::report
