// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/report/chart.h>

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include <espalier/experiments/report/chart_parts.h>

namespace espalier::experiments::report {
namespace {

using detail::AxisMap;
using detail::Range;

constexpr double kPlotHeight = 230.0;
constexpr double kTop = detail::kTitleHeight;
constexpr double kBottom = kTop + kPlotHeight;
constexpr double kAxisHeight = 42.0;
constexpr size_t kMostMarkers = 24;  // of a series; beyond that points merge into the line

bool finite(const ChartPoint& point) {
  return std::isfinite(point.x) && std::isfinite(point.y);
}

// Points that can be drawn; on a logarithmic axis only positive ones can.
std::vector<ChartPoint> drawable(const Chart& chart, const Series& series) {
  std::vector<ChartPoint> out;
  for (const ChartPoint& point : series.points) {
    const bool positive = (chart.x.scale != Scale::Log || point.x > 0.0) &&
                          (chart.y.scale != Scale::Log || point.y > 0.0);
    if (finite(point) && positive) out.push_back(point);
  }
  return out;
}

// The ends of an axis of percents: room on both sides, and never fewer points than so many, or a
// tenth of a percent would look like a victory.
Range percent_range(const Range& seen) {
  constexpr double kLeastSpan = 10.0;
  constexpr double kRoom = 0.08;
  constexpr double kAll = 100.0;
  const double span = std::max(kLeastSpan, (1.0 + 2.0 * kRoom) * (seen.high - seen.low));
  if (span > kAll / 2.0) return {.low = std::min(0.0, seen.low), .high = std::max(kAll, seen.high)};
  const double middle = 0.5 * (seen.low + seen.high);
  double low = middle - 0.5 * span;
  low = std::max(0.0, std::min(low, kAll - span));
  return {.low = std::min(low, seen.low), .high = std::max(low + span, seen.high)};
}

// Drawing of one chart once its axes are known.
class Plot {
 public:
  Plot(const Chart& chart, AxisMap x, AxisMap y, double left)
      : chart_(chart), x_(std::move(x)), y_(std::move(y)), left_(left) {}

  std::string axes() const {
    const double right = detail::kChartWidth - detail::kRight;
    std::string out;
    for (const auto& [value, label] : y_.ticks()) {
      out += fmt::format(
          R"svg(<path class="grid" d="M{:.1f} {:.1f}H{:.1f}"/><text class="tick" text-anchor="end" x="{:.1f}" y="{:.1f}">{}</text>)svg",
          left_,
          y_.at(value),
          right,
          left_ - 6,
          y_.at(value) + 4,
          label);
    }
    for (const auto& [value, label] : x_.ticks()) {
      out += fmt::format(
          R"svg(<path class="axis" d="M{0:.1f} {1}v4"/><text class="tick" text-anchor="{4}" x="{5:.1f}" y="{2}">{3}</text>)svg",
          x_.at(value),
          kBottom,
          kBottom + 17,
          label,
          // The last label must not run out of the picture.
          value == x_.ticks().back().first ? "end" : "middle",
          value == x_.ticks().back().first
              ? std::min(
                    x_.at(value) + 0.5 * detail::kCharacter * static_cast<double>(label.size()),
                    detail::kChartWidth - 1.0)
              : x_.at(value));
    }
    out +=
        fmt::format(R"svg(<path class="axis" d="M{:.1f} {}H{:.1f}"/>)svg", left_, kBottom, right);
    out += fmt::format(
        R"svg(<text class="tick" text-anchor="middle" x="{:.1f}" y="{}">{}</text><text class="tick" text-anchor="middle" transform="translate(13 {}) rotate(-90)">{}</text>)svg",
        (left_ + right) / 2,
        kBottom + 35,
        html_escape(chart_.x.title),
        kTop + kPlotHeight / 2,
        html_escape(upright_title()));
    return out;
  }

  std::string upright_title() const {
    const bool cut = chart_.y.percent && y_.ticks().front().first != 0.0;
    return cut ? fmt::format("{} (axis from {})", chart_.y.title, y_.ticks().front().second)
               : chart_.y.title;
  }

  std::string band(const std::vector<ChartPoint>& points) const {
    std::string upper;
    std::string lower;
    for (const ChartPoint& point : points) {
      upper += fmt::format("{:.1f},{:.1f} ", x_.at(point.x), y_.at(point.y + point.y_deviation));
    }
    for (auto point = points.rbegin(); point != points.rend(); ++point) {
      lower += fmt::format("{:.1f},{:.1f} ", x_.at(point->x), y_.at(point->y - point->y_deviation));
    }
    return fmt::format(R"svg(<polygon class="band" points="{}{}"/>)svg", upper, lower);
  }

  std::string bars(const ChartPoint& point) const {
    const double x = x_.at(point.x);
    const double y = y_.at(point.y);
    std::string out;
    if (point.y_deviation > 0.0) {
      const double low = y_.at(point.y - point.y_deviation);
      const double high = y_.at(point.y + point.y_deviation);
      out += fmt::format(
          R"svg(<path class="error" d="M{0:.1f} {1:.1f}V{2:.1f}m-3 0h6M{3:.1f} {1:.1f}h6"/>)svg",
          x,
          low,
          high,
          x - 3);
    }
    if (point.x_deviation > 0.0) {
      const double low = x_.at(point.x - point.x_deviation);
      const double high = x_.at(point.x + point.x_deviation);
      out += fmt::format(
          R"svg(<path class="error" d="M{1:.1f} {0:.1f}H{2:.1f}m0 -3v6M{1:.1f} {3:.1f}v6"/>)svg",
          y,
          low,
          high,
          y - 3);
    }
    return out;
  }

  std::string line(const Series& series, const std::vector<ChartPoint>& points) const {
    const bool spread = std::any_of(
        points.begin(), points.end(), [](const ChartPoint& p) { return p.y_deviation > 0.0; });
    const bool banded = chart_.bands && spread && points.size() > 1;
    std::string out = fmt::format("<g {}>", detail::series_attributes(series.style));
    if (banded) out += band(points);
    std::string path;
    for (const ChartPoint& point : points) {
      path += fmt::format("{:.1f},{:.1f} ", x_.at(point.x), y_.at(point.y));
    }
    out += fmt::format(R"svg(<polyline class="line" points="{}"/>)svg", path);
    if (!banded) {
      for (const ChartPoint& point : points) out += bars(point);
    }
    if (points.size() <= kMostMarkers) {
      for (const ChartPoint& point : points) {
        out += detail::marker(series.style, x_.at(point.x), y_.at(point.y), tip(series, point));
      }
    }
    return out + "</g>";
  }

  // Stairs: at every cost the best that some run reached.
  std::string front(const std::vector<std::pair<double, double>>& points) const {
    std::string path;
    for (const auto& [x, y] : points) {
      const double px = x_.at(x);
      const double py = y_.at(y);
      if (path.empty()) {
        path = fmt::format("M{:.1f} {:.1f}", px, py);
      } else if (chart_.front == Better::Right) {
        path += fmt::format("V{:.1f}H{:.1f}", py, px);
      } else {
        path += fmt::format("H{:.1f}V{:.1f}", px, py);
      }
    }
    return fmt::format(R"svg(<path class="front" d="{}"/>)svg", path);
  }

 private:
  std::string tip(const Series& series, const ChartPoint& point) const {
    const auto value = [](double middle, double deviation) {
      return deviation > 0.0 ? axis_number(middle) + " ± " + axis_number(deviation)
                             : axis_number(middle);
    };
    return fmt::format("{}{}{}: {} {}; {} {}",
                       series.name,
                       point.label.empty() ? "" : ", ",
                       point.label,
                       chart_.x.title,
                       value(point.x, point.x_deviation),
                       chart_.y.title,
                       value(point.y, point.y_deviation));
  }

  const Chart& chart_;
  AxisMap x_;
  AxisMap y_;
  double left_;
};

}  // namespace

std::vector<std::pair<double, double>> pareto_front(
    const std::vector<std::pair<double, double>>& points, Better better) {
  std::vector<std::pair<double, double>> sorted = points;
  // From the best x to the worst; of equal x the highest first.
  std::sort(sorted.begin(), sorted.end(), [&](const auto& a, const auto& b) {
    if (a.first != b.first) return better == Better::Right ? a.first > b.first : a.first < b.first;
    return a.second > b.second;
  });
  std::vector<std::pair<double, double>> out;
  for (const auto& point : sorted) {
    if (out.empty() || point.second > out.back().second) out.push_back(point);
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::string draw(const Chart& chart) {
  Range xs;
  Range ys;
  std::vector<Series> shown;
  std::vector<std::pair<double, double>> all;
  for (const Series& series : chart.series) {
    const std::vector<ChartPoint> points = drawable(chart, series);
    if (points.empty()) continue;
    for (const ChartPoint& point : points) {
      all.emplace_back(point.x, point.y);
      for (const double sign : {-1.0, 1.0}) {
        const double x = point.x + sign * point.x_deviation;
        const double y = point.y + sign * point.y_deviation;
        if (chart.x.scale != Scale::Log || x > 0.0) xs.cover(x);
        if (chart.y.scale != Scale::Log || y > 0.0) ys.cover(y);
      }
    }
    shown.push_back({.name = series.name, .points = points, .style = series.style});
  }
  const bool front = chart.front != Better::None && all.size() > 1;
  const double notes = kBottom + kAxisHeight + detail::legend_height(shown, front);
  const double height = notes + detail::note_height(chart.note) + 4;
  std::string svg =
      detail::open_chart(chart.title,
                         chart.subtitle,
                         chart.y.title + " against " + chart.x.title + ". " + chart.note +
                             detail::series_summary(shown, chart.y.title),
                         height);
  if (xs.empty()) {
    return svg + fmt::format(R"svg(<text class="tick" x="12" y="{}">no data yet</text></svg>)svg",
                             kTop + kPlotHeight / 2);
  }
  const AxisMap y(chart.y.scale, chart.y.percent ? percent_range(ys) : ys, kBottom, kTop + 6);
  size_t widest = 0;
  for (const auto& [value, label] : y.ticks()) widest = std::max(widest, label.size());
  const double left = 30.0 + detail::kCharacter * static_cast<double>(widest);
  const AxisMap x(chart.x.scale, xs, left, detail::kChartWidth - detail::kRight);
  const Plot plot(chart, x, y, left);
  svg += plot.axes();
  if (front) svg += plot.front(pareto_front(all, chart.front));
  for (const Series& series : shown) svg += plot.line(series, series.points);
  svg += detail::legend(shown, front, true, kBottom + kAxisHeight);
  return svg + detail::note(chart.note, notes) + "</svg>";
}

}  // namespace espalier::experiments::report
