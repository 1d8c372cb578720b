// SPDX-License-Identifier: Apache-2.0
// The page of a report: sections in their order, tables and charts set into HTML.
#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <espalier/experiments/figures.h>
#include <espalier/experiments/machine.h>
#include <espalier/experiments/report/chart.h>
#include <espalier/experiments/report/html_table.h>
#include <espalier/experiments/report/page_assets.h>
#include <espalier/experiments/report/page_sections.h>
#include <espalier/experiments/report/report.h>
#include <espalier/experiments/report/sentences.h>

namespace espalier::experiments::report {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMostPictured = 8;  // networks with pictures: a page stays a few megabytes
constexpr size_t kOpenTimings = 2;
constexpr double kPictureSide = 144.0;  // CSS pixels, at least for the longer side

// A section, or nothing when it would be empty.
std::string section(const char* id, const char* heading, const std::string& content) {
  if (content.empty()) return {};
  return fmt::format(
      "<section id=\"{0}\" aria-labelledby=\"h-{0}\"><h2 id=\"h-{0}\">{1}</h2>\n{2}</section>\n",
      id,
      heading,
      content);
}

std::string grid(const std::vector<NamedChart>& charts, bool secondary = false) {
  std::string out;
  for (const NamedChart& chart : charts) {
    if (chart.secondary != secondary) continue;
    out += "<figure>" + chart.svg + details("table-" + chart.name, "As a table", chart.table) +
           "</figure>\n";
  }
  return out.empty() ? out : "<div class=\"charts\">\n" + out + "</div>\n";
}

std::string download(const std::string& file, const std::string& text, const std::string& label) {
  return fmt::format(
      R"(<a class="save" download="{}" href="data:text/csv;charset=utf-8;base64,{}">{}</a>)",
      file,
      base64(text),
      label);
}

std::string with_deviation(const std::optional<comparisons::Summary>& summary,
                           double factor,
                           int digits) {
  if (!summary) return "-";
  std::string out = fmt::format("{:.{}f}", factor * summary->mean, digits);
  if (summary->deviation) out += fmt::format(" ± {:.{}f}", factor * *summary->deviation, digits);
  return out;
}

std::string means_table(const Report& report) {
  HtmlTable table;
  table.id = "means";
  table.caption = "Means over seeds, with one standard deviation. MACs are those of one image.";
  table.headings = {"method",
                    "variant",
                    "network",
                    "data",
                    "sparsity asked",
                    "seeds",
                    "reached",
                    "accuracy, %",
                    "images/s",
                    "MACs executed",
                    "parameters left"};
  table.texts = 4;
  for (const Panel& panel : report.panels()) {
    for (const RunGroup& group : panel.groups) {
      const ReportRun& first = group.first();
      const auto number = [&](const char* figure) { return group.summary(figure); };
      const auto key = [](const std::optional<comparisons::Summary>& summary) {
        return summary ? fmt::format("{}", summary->mean) : std::string();
      };
      const auto rounded = [](const std::optional<comparisons::Summary>& summary) {
        return summary ? short_count(summary->mean) : std::string("-");
      };
      table.rows.push_back(
          {{first.method},
           {first.variant},
           {panel.model},
           {panel.data},
           {fmt::format("{:.4g}", first.sparsity_asked), fmt::format("{}", first.sparsity_asked)},
           {std::to_string(group.finished()), std::to_string(group.finished())},
           {with_deviation(number("sparsity"), 1.0, 4), key(number("sparsity"))},
           {with_deviation(number("accuracy"), 100.0, 2), key(number("accuracy"))},
           {with_deviation(number("images_per_second"), 1.0, 0), key(number("images_per_second"))},
           {rounded(number("macs_executed")), key(number("macs_executed"))},
           {rounded(number("params_nonzero")), key(number("params_nonzero"))}});
    }
  }
  return table.html();
}

std::string runs_section(const Report& report) {
  HtmlTable table;
  table.id = "runs-table";
  table.caption = fmt::format(
      "All {} runs; difference (points of accuracy) is against the dense run of the same network, "
      "data and seed, or the first where there is none. A speed-up is told only where the dense "
      "network was timed in turn with this one.",
      report.runs().size());
  const auto rows = report.rows();
  const auto keys = report.sort_keys();
  table.headings = rows.front();
  table.texts = 5;
  for (size_t r = 0; r < keys.size(); ++r) {
    std::vector<HtmlCell> cells;
    for (size_t c = 0; c < keys[r].size(); ++c) {
      if (c < table.texts) {
        cells.push_back({rows[r + 1][c]});
      } else {
        cells.push_back({rows[r + 1][c], keys[r][c]});
      }
    }
    table.rows.push_back(std::move(cells));
  }
  return download("espalier-runs.csv", report.csv(), "Runs as CSV") +
         download("espalier-means.csv", report.means_csv(), "Means as CSV") + table.html() +
         soft(
             "Accuracy and images/s on the test split, loading included; of experiments that time "
             "networks as they are used, images/s and executed MACs of the compiled network, "
             "removed channels cut out. Sparsity: the removed share of all convolution and linear "
             "weights, first and last layer included. MACs: "
             "multiply-accumulates of one image; dense counts every weight, effective only those "
             "that are left, executed what the kernels did.");
}

std::string failures(const Report& report) {
  std::string out;
  for (const ReportRun& run : report.runs()) {
    if (run.error.empty()) continue;
    out += fmt::format("<dt>{}</dt><dd>{}</dd>\n", html_escape(run.name), html_escape(run.error));
  }
  return out.empty() ? out : "<dl>" + out + "</dl>\n";
}

std::string timing_section(const Report& report) {
  const std::vector<NamedChart> charts = report.timing_charts();
  std::string out;
  size_t at = 0;
  for (const Panel& panel : report.panels()) {
    for (const RunGroup& group : panel.groups) {
      const ReportRun& run = group.first();
      if (run.timing.empty()) continue;
      HtmlTable table;
      table.id = "kernels-" + std::to_string(at);
      table.caption = fmt::format("{} on {}, {}: {}. Milliseconds of a {}.",
                                  panel.model,
                                  panel.data,
                                  group.label(),
                                  run.name,
                                  run.timing);
      table.headings = {"layer", "kernel", "density", "ms", "ms dense", "reason"};
      table.texts = 2;
      table.wide_last = true;
      for (const RunLayer& layer : run.layers) {
        const double ms = layer.milliseconds.value_or(0.0);
        const double dense = layer.milliseconds_dense.value_or(0.0);
        const auto number = [](double value, int digits) {
          return HtmlCell{fmt::format("{:.{}f}", value, digits), fmt::format("{}", value)};
        };
        table.rows.push_back({{layer.name},
                              {layer.kernel},
                              number(layer.density, 4),
                              number(ms, 3),
                              number(dense, 3),
                              {layer.reason}});
      }
      out += details(
          "timing-" + panel.title() + "-" + group.label(),
          panel.title() + ", " + group.label(),
          "<div class=\"charts\"><figure>" + charts[at].svg + "</figure></div>\n" + table.html(),
          at < kOpenTimings);
      ++at;
    }
  }
  return out;
}

std::string image(const Picture& picture, const std::string& what) {
  const double side = static_cast<double>(std::max(picture.width, picture.height));
  const double zoom = std::max(1.0, std::floor(kPictureSide / side));
  return fmt::format(
      "<figure><img alt=\"{} of {}: {}\" width=\"{:.0f}\" height=\"{:.0f}\" "
      "src=\"data:image/png;base64,{}\"><figcaption>{}<br>{}</figcaption></figure>\n",
      what,
      html_escape(picture.name),
      html_escape(picture.caption),
      zoom * static_cast<double>(picture.width),
      zoom * static_cast<double>(picture.height),
      base64(picture.png),
      html_escape(picture.name),
      html_escape(picture.caption));
}

NetworkPictures pictures_of(const ReportRun& run, PictureCache* cache) {
  if (cache == nullptr) return network_pictures(run.model_file);
  // A run that was made again in the same folder has another time.
  const auto written = std::filesystem::last_write_time(run.model_file).time_since_epoch().count();
  const std::string key = fmt::format("{} {}", run.model_file.string(), written);
  if (!cache->contains(key)) (*cache)[key] = network_pictures(run.model_file);
  return cache->at(key);
}

std::string pictures_section(const Report& report, PictureCache* cache) {
  std::string out;
  size_t shown = 0;
  size_t left_out = 0;
  for (const Panel& panel : report.panels()) {
    for (const RunGroup& group : panel.groups) {
      const ReportRun& run = group.first();
      if (run.model_file.empty() || !run.finished) continue;
      if (shown == kMostPictured) {
        ++left_out;
        continue;
      }
      NetworkPictures pictures;
      std::string content;
      try {
        pictures = pictures_of(run, cache);
      } catch (const std::exception& error) {  // a file that went away, weights that are no numbers
        content = soft(html_escape(fmt::format("No pictures: {}", error.what())));
      }
      for (const Picture& picture : pictures.filters) content += image(picture, "Filters");
      for (const Picture& picture : pictures.masks) content += image(picture, "Mask");
      if (content.empty()) continue;
      out += details("pictures-" + panel.title() + "-" + group.label(),
                     fmt::format("{}, {}: {}", panel.title(), group.label(), run.name),
                     "<div class=\"pictures\">" + content + "</div>\n",
                     shown < 2);
      ++shown;
    }
  }
  if (out.empty()) return out;
  return soft(
             "Of the first seed. Filters: those of the first layer, mid grey is zero, removed "
             "weights are transparent. Masks: the more opaque, the more is kept.") +
         out + (left_out > 0 ? soft(fmt::format("Not pictured: {} more.", left_out)) : "");
}

std::string finding_paragraphs(const Report& report) {
  std::string out;
  for (const std::string& sentence : report_findings(report)) {
    out += "<p class=\"finding\">" + html_escape(sentence) + "</p>\n";
  }
  return out;
}

}  // namespace

std::string html_page(const Report& report, const PageOptions& options) {
  const size_t count = report.runs().size();
  const std::vector<NamedChart> training = report.training_charts();
  const bool many = report.panels().size() > 0 &&
                    std::any_of(report.panels().begin(), report.panels().end(), [](const Panel& p) {
                      return std::any_of(p.groups.begin(), p.groups.end(), [](const RunGroup& g) {
                        return g.runs.size() > 1;
                      });
                    });
  struct Part {
    const char* id;
    const char* heading;
    std::string content;
  };
  const std::vector<Part> parts = {
      {"cost",
       "Accuracy and cost",
       grid(report.cost_charts()) + (many ? means_table(report) : std::string())},
      {"runs", "Runs", count == 0 ? std::string() : runs_section(report)},
      {"failed", "Runs that failed or can't be read", failures(report)},
      {"training",
       "Training",
       grid(training) +
           details("training-more", "Test loss, sparsity, learning rate", grid(training, true))},
      {"layers", "What is left of each layer", grid(report.density_charts())},
      {"kernels", "Kernels and their times", timing_section(report)},
      {"pictures", "Filters and masks", pictures_section(report, options.cache)},
      {"commands", "Commands that make these runs", commands_section(report)},
      {"settings", "Settings", settings_section(report)},
      {"machine", "Machine", machine_section(report)}};
  std::string links;
  std::string sections;
  for (const Part& part : parts) {
    if (part.content.empty()) continue;
    links += fmt::format("<li><a href=\"#{}\">{}</a></li>", part.id, part.heading);
    sections += section(part.id, part.heading, part.content);
  }
  if (count == 0) sections = "<p>There are no runs yet.</p>\n";
  // The policy keeps the promise that nothing is loaded from anywhere.
  return fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; "
      "style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'\">"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
      "<title>Espalier report: {0} run{1}</title><link rel=\"icon\" href=\"data:,\">"
      "<style>{2}</style></head><body{3}>\n"
      "<a class=\"skip\" href=\"#content\">To the content</a>\n"
      "<header><h1>Espalier report</h1>{4}</header>\n"
      "<main id=\"content\">{9}<p class=\"soft\">{0} run{1}, version {5}.</p>\n"
      "<nav aria-label=\"Sections\"><ul>{6}</ul></nav>\n{7}</main>\n"
      "<script>{8}</script></body></html>\n",
      count,
      count == 1 ? "" : "s",
      style_sheet(),
      options.live ? fmt::format(" data-live=\"{}\"", html_escape(options.state)) : "",
      options.live
          ? "<p><span id=\"live\" class=\"soft\" role=\"status\">Live</span> "
            "<button id=\"pause\" type=\"button\" aria-pressed=\"false\">Pause</button></p>"
          : "",
      version(),
      links,
      sections,
      kPageScript,
      finding_paragraphs(report));
}

}  // namespace espalier::experiments::report
