// SPDX-License-Identifier: Apache-2.0
/// What both kinds of charts are put together from: axes, markers, legend, frame. Only for
/// chart.cpp and row_chart.cpp.
#pragma once

#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <espalier/experiments/report/chart.h>

namespace espalier::experiments::report::detail {

inline constexpr double kChartWidth = 440.0;
inline constexpr double kCharacter = 6.8;  ///< width of a 12 px character, a little generous
inline constexpr double kLegendRow = 18.0;
inline constexpr double kTitleHeight = 44.0;  ///< of title and subtitle
inline constexpr double kRight = 16.0;

/// The values that an axis has to show.
struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  void cover(double value);
  bool empty() const { return low > high; }
};

/// An axis in user space: from values to positions, and where its ticks are.
class AxisMap {
 public:
  /// Places `range` between pixels `from` and `to` (which may be the smaller).
  AxisMap(Scale scale, const Range& range, double from, double to);

  /// The position of a value, at an end when it is outside.
  double at(double value) const;
  /// Values with their labels.
  const std::vector<std::pair<double, std::string>>& ticks() const { return ticks_; }

 private:
  double transformed(double value) const;
  void place_ticks(const std::vector<double>& candidates, double distance);

  Scale scale_;
  double low_ = 0.0;  ///< transformed
  double high_ = 1.0;
  double from_;
  double to_;
  std::vector<std::pair<double, std::string>> ticks_;
};

/// The first tag, title, description and headings of a chart `height` high.
std::string open_chart(const std::string& title,
                       const std::string& subtitle,
                       const std::string& description,
                       double height);
/// A marker of a series' shape, and what it tells.
std::string marker(size_t style, double x, double y, const std::string& tip);
/// The class and dashes of a series.
std::string series_attributes(size_t style);
/// The height of a legend, and the legend with its top at `y`. `front` adds the Pareto front.
double legend_height(const std::vector<Series>& series, bool front);
std::string legend(const std::vector<Series>& series, bool front, bool lines, double y);
/// The height of a chart's note, a line a sentence, and the note with its top at `y`.
double note_height(const std::string& text);
std::string note(const std::string& text, double y);
/// `name: n points, from a to b` of every series, to be read aloud.
std::string series_summary(const std::vector<Series>& series, const std::string& unit);

}  // namespace espalier::experiments::report::detail
