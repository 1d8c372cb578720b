// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/report/chart_table.h>

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include <espalier/experiments/figures.h>

namespace espalier::experiments::report {
namespace {

constexpr size_t kMostPoints = 12;  // of a series: a training has hundreds of epochs

// `12.345`, `11.00 M`.
std::string shown(double value, int digits) {
  return std::abs(value) < 1e5 ? fmt::format("{:.{}g}", value, digits) : short_count(value);
}

HtmlCell number(double value, double deviation) {
  if (!std::isfinite(value)) return {"-", ""};
  std::string text = shown(value, 5);
  if (deviation > 0.0) text += " ± " + shown(deviation, 3);
  return {text, fmt::format("{}", value)};
}

std::string caption_of(const std::string& title, const std::string& subtitle) {
  return (subtitle.empty() ? title : title + ", " + subtitle) +
         ". Behind ±: one standard deviation over seeds.";
}

// What a point is called beyond its series: the label, when that says more.
std::string name_of(const Series& series, const ChartPoint& point) {
  return point.label.empty() ? series.name : point.label;
}

}  // namespace

HtmlTable table_of(const std::string& id, const Chart& chart) {
  HtmlTable table{.id = id,
                  .caption = caption_of(chart.title, chart.subtitle),
                  .headings = {"run", chart.x.title, chart.y.title},
                  .rows = {}};
  bool thinned = false;
  for (const Series& series : chart.series) {
    const size_t count = series.points.size();
    const size_t shown = std::min(count, kMostPoints);
    thinned |= shown < count;
    for (size_t i = 0; i < shown; ++i) {
      const size_t at = shown == count ? i : i * (count - 1) / (shown - 1);
      const ChartPoint& point = series.points[at];
      table.rows.push_back({{name_of(series, point)},
                            number(point.x, point.x_deviation),
                            number(point.y, point.y_deviation)});
    }
  }
  if (thinned) table.caption += fmt::format(" {} points of each line.", kMostPoints);
  return table;
}

HtmlTable table_of(const std::string& id, const RowChart& chart) {
  HtmlTable table{.id = id,
                  .caption = caption_of(chart.title, chart.subtitle),
                  .headings = {"layer", "run", chart.x.title},
                  .rows = {},
                  .texts = 2};
  for (const Series& series : chart.series) {
    for (const ChartPoint& point : series.points) {
      table.rows.push_back({{chart.rows.at(static_cast<size_t>(point.y))},
                            {name_of(series, point)},
                            number(point.x, point.x_deviation)});
    }
  }
  return table;
}

}  // namespace espalier::experiments::report
