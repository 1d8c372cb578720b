// SPDX-License-Identifier: Apache-2.0
/// Line charts as SVG text, to stand inside an HTML page. Nothing is loaded, nothing is scripted.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace espalier::experiments {

/// One line of a chart.
struct Series {
  std::string name;
  std::vector<std::pair<double, double>> points;  ///< (x, y), x increasing
};

/// Titles of a chart.
struct ChartText {
  std::string title;
  std::string x;
  std::string y;
};

/// Text with the characters that mean something in HTML replaced.
std::string html_escape(const std::string& text);

/// The colour of line `index`, the same in all charts and tables: distinguishable by people with
/// any common colour vision. Source: Okabe, Ito, "Color universal design", 2008.
std::string series_color(size_t index);

/// Round numbers that cover low..high in about `count` steps of 1, 2 or 5 times a power of ten.
/// Throws ValueError unless low <= high and both are finite.
std::vector<double> axis_ticks(double low, double high, int count);

/// An SVG with axes, grid, a line and points a series, and the value at each point as tool tip.
/// Points that are not finite are left out. Without any point a line says so.
std::string line_chart(const ChartText& text, const std::vector<Series>& series);

}  // namespace espalier::experiments
