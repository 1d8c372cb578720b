// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include <espalier/experiments/report/chart.h>
#include <espalier/experiments/report/chart_parts.h>

namespace espalier::experiments::report {
namespace {

using detail::AxisMap;
using detail::Range;

constexpr double kRow = 17.0;
constexpr double kBarRow = 24.0;
constexpr double kMostNameWidth = 165.0;
constexpr double kAxisHeight = 42.0;

bool drawable(const RowChart& chart, const ChartPoint& point) {
  return std::isfinite(point.x) && (chart.x.scale != Scale::Log || point.x > 0.0) &&
         point.y >= 0.0 && point.y < static_cast<double>(chart.rows.size());
}

std::string tip(const RowChart& chart, const Series& series, const ChartPoint& point) {
  return fmt::format("{}, {}: {} {}{}",
                     chart.rows[static_cast<size_t>(point.y)],
                     series.name,
                     chart.x.title,
                     axis_number(point.x),
                     point.x_deviation > 0.0 ? " ± " + axis_number(point.x_deviation) : "");
}

}  // namespace

std::string draw(const RowChart& chart) {
  Range xs;
  std::vector<Series> shown;
  for (const Series& series : chart.series) {
    Series kept{.name = series.name, .points = {}, .style = series.style};
    for (const ChartPoint& point : series.points) {
      if (!drawable(chart, point)) continue;
      kept.points.push_back(point);
      xs.cover(point.x);
      const double low = point.x - point.x_deviation;
      if (chart.x.scale != Scale::Log || low > 0.0) xs.cover(low);
      xs.cover(point.x + point.x_deviation);
    }
    if (!kept.points.empty()) shown.push_back(std::move(kept));
  }
  if (chart.bars && !xs.empty()) xs.cover(0.0);
  const double row_height = chart.bars ? kBarRow : kRow;
  const double top = detail::kTitleHeight;
  const double bottom =
      top + row_height * static_cast<double>(std::max<size_t>(chart.rows.size(), 3));
  const double notes = bottom + kAxisHeight + detail::legend_height(shown, false);
  const double height = notes + detail::note_height(chart.note) + 4;
  std::string said = chart.x.title + " by row. " + chart.note;
  for (const Series& series : shown) {
    Range range;
    for (const ChartPoint& point : series.points) range.cover(point.x);
    said += fmt::format(
        " {}: from {} to {}.", series.name, axis_number(range.low), axis_number(range.high));
  }
  std::string svg = detail::open_chart(chart.title, chart.subtitle, said, height);
  if (xs.empty()) {
    return svg + fmt::format(R"svg(<text class="tick" x="12" y="{}">no data yet</text></svg>)svg",
                             (top + bottom) / 2);
  }
  size_t longest = 0;
  for (const std::string& row : chart.rows) longest = std::max(longest, row.size());
  const double left =
      18.0 + std::min(kMostNameWidth, detail::kCharacter * static_cast<double>(longest));
  const double right = detail::kChartWidth - detail::kRight;
  const AxisMap x(chart.x.scale, xs, left, right);
  const auto middle = [&](double row) { return top + row_height * (row + 0.5); };
  for (const auto& [value, label] : x.ticks()) {
    svg += fmt::format(
        R"svg(<path class="grid" d="M{0:.1f} {1}V{2}"/><text class="tick" text-anchor="middle" x="{0:.1f}" y="{3}">{4}</text>)svg",
        x.at(value),
        top,
        bottom,
        bottom + 17,
        label);
  }
  const size_t most_characters = static_cast<size_t>(kMostNameWidth / detail::kCharacter);
  for (size_t row = 0; row < chart.rows.size(); ++row) {
    std::string name = chart.rows[row];
    // The end of a dotted name tells more than its beginning.
    if (name.size() > most_characters) {
      name = "…" + name.substr(name.size() - most_characters + 1);
    }
    svg +=
        fmt::format(R"svg(<text class="tick" text-anchor="end" x="{:.1f}" y="{:.1f}">{}</text>)svg",
                    left - 8,
                    middle(static_cast<double>(row)) + 4,
                    html_escape(name));
  }
  svg += fmt::format(
      R"svg(<path class="axis" d="M{:.1f} {}H{:.1f}"/><text class="tick" text-anchor="middle" x="{:.1f}" y="{}">{}</text>)svg",
      left,
      bottom,
      right,
      (left + right) / 2,
      bottom + 35,
      html_escape(chart.x.title));
  const double thickness =
      (row_height - 6) / static_cast<double>(std::max<size_t>(shown.size(), 1));
  for (size_t i = 0; i < shown.size(); ++i) {
    const Series& series = shown[i];
    svg += fmt::format("<g {}>", detail::series_attributes(series.style));
    if (!chart.bars) {
      std::string path;
      for (const ChartPoint& point : series.points) {
        path += fmt::format("{:.1f},{:.1f} ", x.at(point.x), middle(point.y));
      }
      svg += fmt::format(R"svg(<polyline class="line thin" points="{}"/>)svg", path);
    }
    for (const ChartPoint& point : series.points) {
      const double at = x.at(point.x);
      const double bar_top =
          middle(point.y) - row_height / 2 + 3 + thickness * static_cast<double>(i);
      const std::string error =
          point.x_deviation > 0.0
              ? fmt::format(R"svg(<path class="error" d="M{:.1f} {:.1f}H{:.1f}"/>)svg",
                            x.at(point.x - point.x_deviation),
                            chart.bars ? bar_top + thickness / 2 : middle(point.y),
                            x.at(point.x + point.x_deviation))
              : std::string();
      if (chart.bars) {
        svg += fmt::format(
            R"svg(<rect class="mark" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}</title></rect>)svg",
            x.at(0.0),
            bar_top,
            std::max(at - x.at(0.0), 0.5),
            thickness,
            html_escape(tip(chart, series, point)));
        svg += error;
        continue;
      }
      svg += error;
      svg += detail::marker(series.style, at, middle(point.y), tip(chart, series, point));
    }
    svg += "</g>";
  }
  svg += detail::legend(shown, false, !chart.bars, bottom + kAxisHeight);
  return svg + detail::note(chart.note, notes) + "</svg>";
}

}  // namespace espalier::experiments::report
