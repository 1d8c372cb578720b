// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/sweep/grid.h>

#include <algorithm>
#include <charconv>
#include <set>

#include <espalier/core/error.h>

namespace espalier::experiments {
namespace {

constexpr size_t kMostPoints = 10'000;

// Of texts, those that are one name without commas.
const std::set<std::string> kNames = {
    "model", "data", "prune", "pattern", "allocation", "weights", "mask-from", "distill-from"};

char divider(const Option& option) {
  return option.kind != OptionKind::Text || kNames.contains(option.name) ? ',' : ';';
}

bool read_whole(std::string_view text, int64_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size();
}

// `1..3`; nothing for another text.
std::vector<std::string> range(const Option& option, const std::string& text) {
  const size_t dots = text.find("..");
  if (dots == std::string::npos || option.kind == OptionKind::Text) return {};
  int64_t first = 0, last = 0;
  const bool whole = option.kind == OptionKind::Integer &&
                     read_whole(std::string_view(text).substr(0, dots), first) &&
                     read_whole(std::string_view(text).substr(dots + 2), last) && first <= last &&
                     last - first < static_cast<int64_t>(kMostPoints);
  ESPALIER_CHECK(whole,
                 ValueError,
                 "sweep: --",
                 option.name,
                 " expects values as a,b,c",
                 option.kind == OptionKind::Integer ? " or a range FIRST..LAST that rises" : "",
                 ", got '",
                 text,
                 "'");
  std::vector<std::string> out;
  for (int64_t value = first; value <= last; ++value) out.push_back(std::to_string(value));
  return out;
}

}  // namespace

std::vector<std::string> listed_values(const Option& option, const std::string& text) {
  if (text.empty()) return {text};
  std::vector<std::string> out;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(divider(option), begin), text.size());
    const std::string one = text.substr(begin, end - begin);
    ESPALIER_CHECK(!one.empty(),
                   ValueError,
                   "sweep: --",
                   option.name,
                   " expects values between '",
                   std::string(1, divider(option)),
                   "', got '",
                   text,
                   "'");
    const std::vector<std::string> several = range(option, one);
    if (several.empty()) {
      out.push_back(one);
    } else {
      out.insert(out.end(), several.begin(), several.end());
    }
    begin = end + 1;
  }
  return out;
}

std::vector<GridPoint> grid_of(const std::vector<Option>& options, const OptionTexts& given) {
  std::vector<GridPoint> points(1);
  for (const auto& [name, text] : given) {
    const auto option = std::ranges::find(options, name, &Option::name);
    ESPALIER_CHECK(option != options.end(), ValueError, "sweep: no option '", name, "'");
    const std::vector<std::string> values = listed_values(*option, text);
    ESPALIER_CHECK(std::set<std::string>(values.begin(), values.end()).size() == values.size(),
                   ValueError,
                   "sweep: --",
                   name,
                   " expects different values, got '",
                   text,
                   "'");
    ESPALIER_CHECK(points.size() * values.size() <= kMostPoints,
                   ValueError,
                   "sweep: expected at most ",
                   kMostPoints,
                   " trainings, got more");
    std::vector<GridPoint> next;
    for (const GridPoint& point : points) {
      for (const std::string& value : values) {
        GridPoint one = point;
        one.texts[name] = value;
        if (values.size() > 1) one.varied[name] = value;
        next.push_back(std::move(one));
      }
    }
    points = std::move(next);
  }
  return points;
}

std::string grid_name(const OptionTexts& varied) {
  std::string out;
  for (const auto& [name, text] : varied) out += (out.empty() ? "" : "_") + name + "-" + text;
  for (char& c : out) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                       c == '.' || c == '-' || c == '_' || c == '+';
    if (!plain) c = '-';
  }
  return out.empty() ? "run" : out;
}

}  // namespace espalier::experiments
