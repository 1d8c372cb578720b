// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/report/chart.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include <espalier/core/error.h>

namespace espalier::experiments {
namespace {

constexpr double kWidth = 560;
constexpr double kHeight = 300;
constexpr double kLeft = 58;
constexpr double kRight = 14;
constexpr double kTop = 34;
constexpr double kBottom = 44;
constexpr size_t kMostMarkers = 60;  // beyond that points merge into the line

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  void cover(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
};

bool finite(const std::pair<double, double>& point) {
  return std::isfinite(point.first) && std::isfinite(point.second);
}

std::string number(double value) {
  return fmt::format("{:.6g}", value);
}

}  // namespace

std::string html_escape(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string series_color(size_t index) {
  static constexpr std::array<const char*, 7> kColors = {
      "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#888888"};
  return kColors[index % kColors.size()];
}

std::vector<double> axis_ticks(double low, double high, int count) {
  ESPALIER_CHECK(std::isfinite(low) && std::isfinite(high) && low <= high && count > 0,
                 ValueError,
                 "axis_ticks: expects finite low <= high, got ",
                 low,
                 " and ",
                 high);
  if (low == high) {
    const double room = low == 0.0 ? 1.0 : std::abs(low) * 0.1;
    low -= room;
    high += room;
  }
  const double rough = (high - low) / count;
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  double step = 10.0 * power;
  for (const double factor : {5.0, 2.0, 1.0}) {
    if (factor * power >= rough * 0.999) step = factor * power;
  }
  std::vector<double> out;
  const auto first = static_cast<int64_t>(std::floor(low / step + 1e-9));
  const auto last = static_cast<int64_t>(std::ceil(high / step - 1e-9));
  for (int64_t i = first; i <= last; ++i) out.push_back(static_cast<double>(i) * step);
  return out;
}

std::string line_chart(const ChartText& text, const std::vector<Series>& series) {
  Range xs;
  Range ys;
  for (const Series& line : series) {
    for (const auto& point : line.points) {
      if (!finite(point)) continue;
      xs.cover(point.first);
      ys.cover(point.second);
    }
  }
  std::string svg = fmt::format(
      R"svg(<svg viewBox="0 0 {} {}" role="img" aria-label="{}"><text class="title" x="{}" y="18">{}</text>)svg",
      kWidth,
      kHeight,
      html_escape(text.title),
      kLeft,
      html_escape(text.title));
  if (xs.low > xs.high) {
    return svg +
           fmt::format(R"svg(<text x="{}" y="{}">no data yet</text></svg>)svg", kLeft, kHeight / 2);
  }
  const std::vector<double> x_ticks = axis_ticks(xs.low, xs.high, 6);
  const std::vector<double> y_ticks = axis_ticks(ys.low, ys.high, 5);
  const auto x_at = [&](double x) {
    return kLeft +
           (x - x_ticks.front()) / (x_ticks.back() - x_ticks.front()) * (kWidth - kLeft - kRight);
  };
  const auto y_at = [&](double y) {
    return kHeight - kBottom -
           (y - y_ticks.front()) / (y_ticks.back() - y_ticks.front()) * (kHeight - kTop - kBottom);
  };
  for (const double y : y_ticks) {
    svg += fmt::format(
        R"svg(<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/><text class="tick" text-anchor="end" x="{}" y="{:.1f}">{}</text>)svg",
        kLeft,
        kWidth - kRight,
        y_at(y),
        y_at(y),
        kLeft - 6,
        y_at(y) + 4,
        number(y));
  }
  for (const double x : x_ticks) {
    svg +=
        fmt::format(R"svg(<text class="tick" text-anchor="middle" x="{:.1f}" y="{}">{}</text>)svg",
                    x_at(x),
                    kHeight - kBottom + 16,
                    number(x));
  }
  svg += fmt::format(
      R"svg(<text class="tick" text-anchor="middle" x="{}" y="{}">{}</text><text class="tick" text-anchor="middle" transform="translate(13 {}) rotate(-90)">{}</text>)svg",
      (kLeft + kWidth - kRight) / 2,
      kHeight - 8,
      html_escape(text.x),
      (kTop + kHeight - kBottom) / 2,
      html_escape(text.y));
  for (size_t i = 0; i < series.size(); ++i) {
    std::string path;
    std::string markers;
    for (const auto& point : series[i].points) {
      if (!finite(point)) continue;
      path += fmt::format("{:.1f},{:.1f} ", x_at(point.first), y_at(point.second));
      markers += fmt::format(
          R"svg(<circle cx="{:.1f}" cy="{:.1f}" r="2.5"><title>{}: {}, {}</title></circle>)svg",
          x_at(point.first),
          y_at(point.second),
          html_escape(series[i].name),
          number(point.first),
          number(point.second));
    }
    if (series[i].points.size() > kMostMarkers) markers.clear();
    svg += fmt::format(
        R"svg(<g stroke="{0}" fill="{0}"><polyline fill="none" points="{1}"/>{2}</g>)svg",
        series_color(i),
        path,
        markers);
  }
  return svg + "</svg>";
}

}  // namespace espalier::experiments
