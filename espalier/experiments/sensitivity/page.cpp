// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/sensitivity/page.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <espalier/experiments/figures.h>
#include <espalier/experiments/machine.h>
#include <espalier/experiments/report/chart.h>
#include <espalier/experiments/report/html_table.h>
#include <espalier/experiments/report/page_assets.h>

namespace espalier::experiments {
namespace {

using Json = nlohmann::ordered_json;

std::string percent(double fraction) {
  return fmt::format("{:.2f}", 100.0 * fraction);
}

std::string joint_text(const Sensitivity& found) {
  return fmt::format(
      "as it is {} %; with all budgets at once {} % at a sparsity of {:.4f} (floor {} %)",
      percent(found.accuracy),
      percent(found.budget_accuracy),
      found.budget_sparsity,
      percent(found.floor));
}

report::Chart chart_of(const Sensitivity& found, size_t first, size_t last) {
  report::Chart chart{.title = first == 0 ? "Accuracy with one layer pruned"
                                          : "Accuracy with one layer pruned, more layers",
                      .subtitle = "all other layers as they are; no training",
                      .x = {.title = "sparsity of the layer, %", .percent = true},
                      .y = {.title = "accuracy, %", .percent = true}};
  for (size_t i = first; i < last; ++i) {
    report::Series series;
    series.name = found.layers[i].name;
    series.style = i - first;
    series.points.push_back({.x = 0.0, .y = 100.0 * found.accuracy});
    for (size_t s = 0; s < found.sparsities.size(); ++s) {
      series.points.push_back(
          {.x = 100.0 * found.sparsities[s], .y = 100.0 * found.layers[i].accuracy[s]});
    }
    chart.series.push_back(std::move(series));
  }
  return chart;
}

report::HtmlTable table_of(const Sensitivity& found) {
  report::HtmlTable table;
  table.id = "layers";
  table.caption = "Accuracy in percent by sparsity, and each layer's budget";
  table.headings = {"weight", "entries"};
  for (const double sparsity : found.sparsities) {
    table.headings.push_back(fmt::format("{:g}", sparsity));
  }
  table.headings.emplace_back("budget");
  const auto cell = [](const std::string& text, double key) {
    return report::HtmlCell{.text = text, .key = fmt::format("{}", key)};
  };
  for (const LayerCurve& layer : found.layers) {
    std::vector<report::HtmlCell> row = {
        {.text = layer.name}, cell(grouped(layer.weights), static_cast<double>(layer.weights))};
    for (const double accuracy : layer.accuracy) row.push_back(cell(percent(accuracy), accuracy));
    row.push_back(cell(fmt::format("{:g}", layer.budget), layer.budget));
    table.rows.push_back(std::move(row));
  }
  return table;
}

}  // namespace

Json sensitivity_json(const Sensitivity& found) {
  Json layers = Json::array();
  for (const LayerCurve& layer : found.layers) {
    layers.push_back({{"name", layer.name},
                      {"weights", layer.weights},
                      {"accuracy", layer.accuracy},
                      {"budget", layer.budget}});
  }
  return {{"accuracy", found.accuracy},
          {"floor", found.floor},
          {"sparsities", found.sparsities},
          {"layers", layers},
          {"budget_accuracy", found.budget_accuracy},
          {"budget_sparsity", found.budget_sparsity},
          {"evaluations", found.evaluations}};
}

std::string sensitivity_text(const Sensitivity& found) {
  std::vector<std::vector<std::string>> rows = {{"accuracy % of", "weights"}};
  for (const double sparsity : found.sparsities)
    rows[0].push_back(fmt::format("at {:g}", sparsity));
  rows[0].emplace_back("budget");
  for (const LayerCurve& layer : found.layers) {
    std::vector<std::string> row = {layer.name, grouped(layer.weights)};
    for (const double accuracy : layer.accuracy) row.push_back(percent(accuracy));
    row.push_back(layer.budget > 0.0 ? fmt::format("{:g}", layer.budget) : "0");
    rows.push_back(std::move(row));
  }
  return text_table(rows) + "\n" + joint_text(found) + "\n";
}

std::string sensitivity_page(const Sensitivity& found, const std::string& title) {
  // As many lines as there are colours, so that each can be told from the others.
  constexpr size_t kLines = 7;
  std::string charts;
  for (size_t first = 0; first < found.layers.size(); first += kLines) {
    charts += "<figure>" +
              draw(chart_of(found, first, std::min(first + kLines, found.layers.size()))) +
              "</figure>\n";
  }
  return fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; "
      "style-src 'unsafe-inline'; script-src 'unsafe-inline'\">"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
      "<title>Espalier report: sensitivity of {0}</title><link rel=\"icon\" href=\"data:,\">"
      "<style>{1}</style></head><body>\n"
      "<header><h1>Sensitivity of {0}</h1></header>\n<main id=\"content\">"
      "<p class=\"finding\">Accuracy {2}.</p><p class=\"soft\">version {3}</p>\n"
      "<div class=\"charts\">{4}</div>\n{5}</main>\n<script>{6}</script></body></html>\n",
      report::html_escape(title),
      report::style_sheet(),
      report::html_escape(joint_text(found)),
      version(),
      charts,
      table_of(found).html(),
      report::kPageScript);
}

}  // namespace espalier::experiments
