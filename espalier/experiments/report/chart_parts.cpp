// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/report/chart_parts.h>

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

#include <espalier/core/error.h>

namespace espalier::experiments::report {

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

std::string axis_number(double value) {
  constexpr std::array<const char*, 5> kUnits = {"", " k", " M", " G", " T"};
  size_t unit = 0;
  while (std::abs(value) >= 1000.0 && unit + 1 < kUnits.size()) {
    value /= 1000.0;
    ++unit;
  }
  return fmt::format("{:.4g}{}", value, kUnits[unit]);
}

namespace detail {
namespace {

constexpr double kMostRemoved = 99.9999;  // percent; all removed would be infinitely far away
constexpr size_t kLongestName = 56;
constexpr double kSwatch = 26.0;
constexpr double kNoteRow = 15.0;

std::string shortened(const std::string& name) {
  if (name.size() <= kLongestName) return name;
  size_t end = kLongestName - 2;
  while (end > 0 && (name[end] & 0xc0) == 0x80) --end;  // not within a character
  return name.substr(0, end) + "…";
}

double item_width(const std::string& name) {
  return kSwatch + kCharacter * static_cast<double>(shortened(name).size()) + 14.0;
}

// Calls place(index, x, row) for every item and returns the number of rows.
template <class Place>
int flow(const std::vector<std::string>& names, Place place) {
  int row = 0;
  double x = 12.0;
  for (size_t i = 0; i < names.size(); ++i) {
    const double width = item_width(names[i]);
    if (x > 12.0 && x + width > kChartWidth) {
      ++row;
      x = 12.0;
    }
    place(i, x, row);
    x += width;
  }
  return names.empty() ? 0 : row + 1;
}

std::vector<std::string> legend_names(const std::vector<Series>& series, bool front) {
  std::vector<std::string> out;
  for (const Series& one : series) out.push_back(one.name);
  if (front) out.emplace_back("Pareto front");
  return out;
}

// A line each.
std::vector<std::string> sentences(const std::string& text) {
  std::vector<std::string> out;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(". ", begin), text.size() - 1);
    out.push_back(text.substr(begin, end + 1 - begin));
    begin = end + 2;
  }
  return out;
}

}  // namespace

void Range::cover(double value) {
  low = std::min(low, value);
  high = std::max(high, value);
}

AxisMap::AxisMap(Scale scale, const Range& range, double from, double to)
    : scale_(scale), from_(from), to_(to) {
  if (scale == Scale::Linear) {
    const std::vector<double> ticks = axis_ticks(range.low, range.high, 5);
    low_ = ticks.front();
    high_ = ticks.back();
    for (const double tick : ticks) ticks_.emplace_back(tick, axis_number(tick));
    return;
  }
  low_ = transformed(range.low);
  high_ = transformed(range.high);
  const double room = high_ > low_ ? 0.05 * (high_ - low_) : 0.2;
  low_ -= room;
  high_ += room;
  std::vector<double> candidates;
  if (scale == Scale::Kept) {
    // The more telling first.
    candidates = {0, 90, 99, 99.9, 99.99, 50, 80, 95, 98, 99.5, 99.8, 70, 99.95, 60, 97};
    place_ticks(candidates, 0.1);
  } else {
    for (const double factor : {1.0, 3.0, 2.0, 5.0}) {
      for (int power = -12; power <= 18; ++power) {
        candidates.push_back(factor * std::pow(10.0, power));
      }
    }
    place_ticks(candidates, 0.14);
    // A range within one decade: round numbers of it too.
    if (ticks_.size() < 3) place_ticks(axis_ticks(range.low, range.high, 4), 0.14);
  }
}

void AxisMap::place_ticks(const std::vector<double>& candidates, double distance) {
  const double span = high_ - low_;
  for (const double candidate : candidates) {
    const double place =
        scale_ == Scale::Log && candidate <= 0.0 ? low_ - 1 : transformed(candidate);
    if (place < low_ || place > high_) continue;
    const bool free = std::all_of(ticks_.begin(), ticks_.end(), [&](const auto& tick) {
      return std::abs(transformed(tick.first) - place) >= distance * span;
    });
    if (free) ticks_.emplace_back(candidate, axis_number(candidate));
  }
  std::sort(ticks_.begin(), ticks_.end());
}

double AxisMap::transformed(double value) const {
  switch (scale_) {
    case Scale::Linear:
      return value;
    case Scale::Log:
      return std::log10(std::max(value, 1e-300));
    case Scale::Kept:
      return -std::log10(1.0 - std::min(value, kMostRemoved) / 100.0);
  }
  throw ValueError("axis: unknown scale");
}

double AxisMap::at(double value) const {
  const double share = (transformed(value) - low_) / (high_ - low_);
  return from_ + std::clamp(share, 0.0, 1.0) * (to_ - from_);
}

std::string open_chart(const std::string& title,
                       const std::string& subtitle,
                       const std::string& description,
                       double height) {
  return fmt::format(
      R"svg(<svg class="chart" viewBox="0 0 {0} {1:.0f}" role="img"><title>{2}{4}{3}</title><desc>{5}</desc><text class="title" x="12" y="18">{2}</text><text class="tick" x="12" y="35">{3}</text>)svg",
      kChartWidth,
      height,
      html_escape(title),
      html_escape(subtitle),
      subtitle.empty() ? "" : ": ",
      html_escape(description));
}

std::string series_attributes(size_t style) {
  static constexpr std::array<const char*, 3> kDashes = {
      "", " stroke-dasharray=\"6 3\"", " stroke-dasharray=\"2 3\""};
  return fmt::format("class=\"s{}\"{}", style % 7, kDashes[style / 7 % kDashes.size()]);
}

std::string marker(size_t style, double x, double y, const std::string& tip) {
  const std::string inner = tip.empty() ? std::string() : "<title>" + html_escape(tip) + "</title>";
  const auto polygon = [&](std::initializer_list<std::pair<double, double>> corners) {
    std::string points;
    for (const auto& [dx, dy] : corners) points += fmt::format("{:.1f},{:.1f} ", x + dx, y + dy);
    points.pop_back();
    return fmt::format(R"svg(<polygon class="mark" points="{}">{}</polygon>)svg", points, inner);
  };
  switch (style % 5) {
    case 0:
      return fmt::format(
          R"svg(<circle class="mark" cx="{:.1f}" cy="{:.1f}" r="3.6">{}</circle>)svg", x, y, inner);
    case 1:
      return polygon({{-3.3, -3.3}, {3.3, -3.3}, {3.3, 3.3}, {-3.3, 3.3}});
    case 2:
      return polygon({{0, -4.4}, {4.2, 3.2}, {-4.2, 3.2}});
    case 3:
      return polygon({{0, -4.8}, {4.4, 0}, {0, 4.8}, {-4.4, 0}});
    default:
      return polygon({{-4.2, -3.2}, {4.2, -3.2}, {0, 4.4}});
  }
}

double legend_height(const std::vector<Series>& series, bool front) {
  return kLegendRow * flow(legend_names(series, front), [](size_t, double, int) {});
}

std::string legend(const std::vector<Series>& series, bool front, bool lines, double y) {
  const std::vector<std::string> names = legend_names(series, front);
  std::string out = "<g aria-hidden=\"true\">";
  flow(names, [&](size_t i, double x, int row) {
    const double middle = y + kLegendRow * row + kLegendRow / 2;
    const bool is_front = i == series.size();
    if (is_front) {
      out += fmt::format(R"svg(<path class="front" d="M{:.1f} {:.1f}h20"/>)svg", x, middle);
    } else {
      out += fmt::format("<g {}>", series_attributes(series[i].style));
      if (lines)
        out += fmt::format(R"svg(<path class="line" d="M{:.1f} {:.1f}h20"/>)svg", x, middle);
      out += marker(series[i].style, x + 10, middle, "") + "</g>";
    }
    out += fmt::format(R"svg(<text class="tick" x="{:.1f}" y="{:.1f}">{}</text>)svg",
                       x + kSwatch,
                       middle + 4,
                       html_escape(shortened(names[i])));
  });
  return out + "</g>";
}

double note_height(const std::string& text) {
  return kNoteRow * static_cast<double>(sentences(text).size());
}

std::string note(const std::string& text, double y) {
  std::string out = "<g aria-hidden=\"true\">";
  for (const std::string& sentence : sentences(text)) {
    y += kNoteRow;
    out += fmt::format(
        R"svg(<text class="note" x="12" y="{:.1f}">{}</text>)svg", y - 4, html_escape(sentence));
  }
  return out + "</g>";
}

std::string series_summary(const std::vector<Series>& series, const std::string& unit) {
  std::string out;
  for (const Series& one : series) {
    Range range;
    for (const ChartPoint& point : one.points) {
      if (std::isfinite(point.y)) range.cover(point.y);
    }
    if (range.empty()) continue;
    out += fmt::format(" {}: {} point{}, {} from {} to {}.",
                       one.name,
                       one.points.size(),
                       one.points.size() == 1 ? "" : "s",
                       unit,
                       axis_number(range.low),
                       axis_number(range.high));
  }
  return out;
}

}  // namespace detail
}  // namespace espalier::experiments::report
