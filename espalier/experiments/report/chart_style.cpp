// SPDX-License-Identifier: Apache-2.0
#include <array>

#include <fmt/format.h>

#include <espalier/experiments/report/chart.h>

namespace espalier::experiments::report {
namespace {

constexpr std::array<const char*, 7> kOnLight = {
    "#0072b2", "#c44e00", "#008562", "#b0508a", "#a86f00", "#2a8fc4", "#6b6b6b"};
constexpr std::array<const char*, 7> kOnDark = {
    "#56b4e9", "#f0813a", "#2fbf95", "#e39cc4", "#e6b022", "#9ad4f5", "#a8a8a8"};

// Rules with `$name` where a colour stands.
constexpr const char* kRules = R"css(
svg.chart text { fill: $ink; font: 12px system-ui, sans-serif; stroke: none; }
svg.chart .title { font-size: 14px; font-weight: 600; }
svg.chart .note { fill: $soft; font-size: 11px; }
svg.chart .grid { stroke: $line; fill: none; }
svg.chart .axis { stroke: $soft; fill: none; }
svg.chart .line { stroke-width: 2; fill: none; }
svg.chart .thin { stroke-width: 1; stroke-opacity: .45; }
svg.chart .band { stroke: none; fill-opacity: .18; }
svg.chart .error { stroke-width: 1.3; fill: none; stroke-dasharray: none; }
svg.chart .mark { stroke: $paper; stroke-width: .8; stroke-dasharray: none; }
svg.chart .front { stroke: $soft; stroke-width: 1.5; stroke-dasharray: 5 4; fill: none; }
)css";

std::string replaced(std::string text, const std::string& what, const std::string& with) {
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at)) {
    text.replace(at, what.size(), with);
    at += with.size();
  }
  return text;
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

std::string chart_colors(bool dark) {
  std::string out;
  for (size_t i = 0; i < kOnLight.size(); ++i) {
    out += fmt::format("--c{}: {}; ", i, dark ? kOnDark[i] : kOnLight[i]);
  }
  return out;
}

std::string chart_style() {
  std::string out = kRules;
  for (const char* name : {"ink", "soft", "line", "paper"}) {
    out = replaced(out, std::string("$") + name, fmt::format("var(--{})", name));
  }
  for (size_t i = 0; i < kOnLight.size(); ++i) {
    out += fmt::format("svg.chart .s{0} {{ stroke: var(--c{0}); fill: var(--c{0}); }}\n", i);
  }
  return out;
}

std::string standalone_svg(const std::string& svg) {
  std::string style = kRules;
  style = replaced(style, "$ink", "#1c1c1c");
  style = replaced(style, "$soft", "#666");
  style = replaced(style, "$line", "#ddd");
  style = replaced(style, "$paper", "#fff");
  style = replaced(style, "system-ui, ", "");
  for (size_t i = 0; i < kOnLight.size(); ++i) {
    style += fmt::format("svg.chart .s{0} {{ stroke: {1}; fill: {1}; }}\n", i, kOnLight[i]);
  }
  const size_t end = svg.find('>');
  return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n" + svg.substr(0, end) +
         R"( xmlns="http://www.w3.org/2000/svg"><style>)" + style +
         R"(</style><rect width="100%" height="100%" fill="#fff"/>)" + svg.substr(end + 1) + "\n";
}

}  // namespace espalier::experiments::report
