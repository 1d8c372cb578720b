// SPDX-License-Identifier: Apache-2.0
/// Charts as SVG text: nothing is loaded, nothing is scripted. The same text stands in the page
/// (colours from its style sheet, light and dark) and, with a style of its own, in a file. Own code
/// and no chart library of a browser, because a page must print, be read aloud and become a PNG
/// without running a script.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace espalier::experiments::report {

/// One point with its spread.
struct ChartPoint {
  double x = 0.0;
  double y = 0.0;
  double x_deviation = 0.0;  ///< one standard deviation; 0: none is drawn
  double y_deviation = 0.0;
  std::string label = {};  ///< told with the values when the pointer is on it
};

/// One line of a chart.
struct Series {
  std::string name;
  std::vector<ChartPoint> points;  ///< joined in this order
  size_t style = 0;                ///< colour, marker and dashes; the same number looks the same
};

/// How an axis is divided.
enum class Scale : unsigned char {
  Linear,
  Log,   ///< of positive numbers
  Kept,  ///< of a removed share in percent: equal steps are equal factors of what is kept
};

/// One axis.
struct Axis {
  std::string title = {};  ///< with the unit
  Scale scale = Scale::Linear;
  /// Of shares in percent: no point lies on the axis's ends, small differences do not fill it, and
  /// where it does not begin at 0 its title says so.
  bool percent = false;
};

/// Which way along x is better, where points are compared by both coordinates; y is always better
/// upwards.
enum class Better : unsigned char { None, Right, Left };

/// Lines over a common x, or points in a plane.
struct Chart {
  std::string title;
  std::string subtitle = {};
  Axis x = {};
  Axis y = {};
  std::vector<Series> series = {};
  bool bands = true;            ///< spreads of lines as bands; else as bars
  Better front = Better::None;  ///< draws the Pareto front of all points
  std::string note = {};        ///< what bands and bars are; part of the description
};

/// Values in rows with a name, such as those of layers.
struct RowChart {
  std::string title;
  std::string subtitle = {};
  Axis x = {};
  std::vector<std::string> rows = {};
  /// x of a point is its value, y the index of its row.
  std::vector<Series> series = {};
  bool bars = false;  ///< bars from zero instead of markers
  std::string note = {};
};

/// Text with the characters that mean something in HTML replaced.
std::string html_escape(const std::string& text);

/// Numbers that divide low..high in about `count` steps of 1, 2 or 5 times a power of ten, the ends
/// beyond the range. Throws ValueError unless low <= high and both are finite.
std::vector<double> axis_ticks(double low, double high, int count);

/// A number for an axis or a tip: `0.25`, `40`, `12 k`, `40.6 M`.
std::string axis_number(double value);

/// The points that no other point beats in both coordinates, x rising.
std::vector<std::pair<double, double>> pareto_front(
    const std::vector<std::pair<double, double>>& points, Better better);

/// The chart as an `<svg>` element with title, description, axes and legend. Points that are not
/// finite are left out; without any point a line says so.
std::string draw(const Chart& chart);
/// The same for rows.
std::string draw(const RowChart& chart);

/// The style of charts for a style sheet; colours come from `--ink`, `--soft`, `--line`, `--paper`
/// and `--c0`..`--c6`.
std::string chart_style();
/// The colours of `chart_style` for light and dark paper, as CSS declarations. Source: Okabe, Ito,
/// "Color universal design", 2008 (lighter on dark paper).
std::string chart_colors(bool dark);
/// A drawn chart as a file of its own on light paper, for programs that know CSS classes but no
/// variables.
std::string standalone_svg(const std::string& svg);

}  // namespace espalier::experiments::report
