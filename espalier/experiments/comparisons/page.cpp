// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/comparisons/page.h>

#include <algorithm>
#include <set>
#include <tuple>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <espalier/experiments/figures.h>
#include <espalier/experiments/machine.h>

namespace espalier::experiments::comparisons {
namespace {

using Json = nlohmann::ordered_json;

// Rows that differ in their seed only.
struct Cell {
  const RunRow* first;
  std::vector<const RunRow*> rows;
};

bool same_cell(const RunRow& a, const RunRow& b) {
  return a.model == b.model && a.data == b.data && a.method == b.method && a.variant == b.variant &&
         a.sparsity_asked == b.sparsity_asked;
}

std::vector<Cell> cells_of(const std::vector<RunRow>& rows) {
  std::vector<Cell> cells;
  for (const RunRow& row : rows) {
    if (!row.finished() || !row.compared) continue;
    auto cell = std::find_if(
        cells.begin(), cells.end(), [&](const Cell& one) { return same_cell(*one.first, row); });
    if (cell == cells.end()) {
      cells.push_back({.first = &row, .rows = {}});
      cell = cells.end() - 1;
    }
    cell->rows.push_back(&row);
  }
  std::stable_sort(cells.begin(), cells.end(), [](const Cell& a, const Cell& b) {
    const RunRow& x = *a.first;
    const RunRow& y = *b.first;
    return std::tie(x.model, x.data, x.sparsity_asked, x.method) <
           std::tie(y.model, y.data, y.sparsity_asked, y.method);
  });
  return cells;
}

template <class Value>
Summary over_seeds(const Cell& cell, Value value) {
  std::vector<double> values;
  for (const RunRow* row : cell.rows) values.push_back(static_cast<double>(value(*row)));
  return summarize(values);
}

std::string percent(double fraction, int digits = 2) {
  return fmt::format("{:.{}f}", 100.0 * fraction, digits);
}

// `81.25 ± 0.40`; of one value the value alone.
std::string percent_with_deviation(const Summary& summary) {
  return summary.deviation ? percent(summary.mean) + " ± " + percent(*summary.deviation)
                           : percent(summary.mean);
}

std::string points_with_error(const Summary& summary) {
  const double points = 100.0 * summary.mean;
  const std::string mean = fmt::format("{:+.2f}", std::abs(points) < 0.005 ? 0.0 : points);
  return summary.standard_error ? mean + " ± " + percent(*summary.standard_error) : mean;
}

// Executed multiply-accumulates of the network as it is used, with removed channels cut out, where
// the experiment times it.
int64_t deployed_macs(const RunRow& row) {
  return row.speed && row.speed->shrunk ? row.speed->macs_executed : row.macs_executed;
}

// `cifar10 and synth`, in the order of the runs.
std::string data_sets(const std::vector<RunRow>& rows) {
  std::vector<std::string> seen;
  for (const RunRow& row : rows) {
    if (std::find(seen.begin(), seen.end(), row.data) == seen.end()) seen.push_back(row.data);
  }
  return fmt::format("{}", fmt::join(seen, " and "));
}

// `Intel(R) Xeon(R) Processor, 1 threads`: those of the runs, not the one that makes the page.
std::string machines_of(const std::vector<RunRow>& rows) {
  std::set<std::string> seen;
  for (const RunRow& row : rows) {
    if (row.finished()) seen.insert(row.machine);
  }
  return seen.empty() ? "no machine" : fmt::format("{}", fmt::join(seen, "; "));
}

// `batch 128, epochs 6, ...`, then what networks have of their own.
std::string settings_of(const Scale& scale) {
  const auto listed = [](const std::map<std::string, std::string>& settings) {
    std::string out;
    for (const auto& [name, text] : settings) {
      out += fmt::format("{}{} {}", out.empty() ? "" : ", ", name, text);
    }
    return out;
  };
  std::string out = listed(scale.settings);
  for (const auto& [model, settings] : scale.of_model) {
    out += fmt::format("; {}: {}", model, listed(settings));
  }
  return out;
}

bool from_the_survey(const Experiment& experiment) {
  return std::all_of(experiment.claims.begin(), experiment.claims.end(), [](const Claim& claim) {
    return claim.source == Claim().source;
  });
}

// Text in a cell of a Markdown table.
std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '|') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out;
}

std::string title_of(const RunRow& row) {
  std::string out = row.model + " " + row.data + " " + row.method;
  if (!row.variant.empty()) out += " " + row.variant;
  return out + fmt::format(" {:.4g} seed {}", row.sparsity_asked, row.seed);
}

// Seconds of training on made-up digits.
bool is_too_short(const Scale& scale) {
  return scale.preset == Preset::Smoke;
}

}  // namespace

ExperimentPage::ExperimentPage(const Experiment& experiment, Scale scale, std::vector<RunRow> rows)
    : experiment_(experiment), scale_(std::move(scale)), rows_(std::move(rows)) {
  const std::vector<RunRow> judged = experiment_.judged ? experiment_.judged(rows_) : rows_;
  for (const Claim& claim : experiment_.claims) {
    findings_.push_back(judge(claim, judged));
    if (is_too_short(scale_)) findings_.back().verdict = Verdict::TooShort;
  }
}

int64_t ExperimentPage::failed() const {
  return std::count_if(
      rows_.begin(), rows_.end(), [](const RunRow& row) { return !row.finished(); });
}

std::string ExperimentPage::results_section() const {
  std::string out = fmt::format(
      "## Results\n\nMeans over seeds; accuracy (test, %) with one standard deviation. Sparsity is "
      "the removed share of all prunable weights, first and last layer included. Collapsed: layers "
      "with nothing left, in all seeds together. MACs are those of one image{}. Images/s are of "
      "the "
      "evaluation during the experiment, loading included{}.\n\n"
      "| model | data | method | variant | sparsity asked | reached | accuracy | seeds | "
      "parameters left | MACs dense | effective | executed | images/s | s/epoch | collapsed |\n"
      "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
      experiment_.speeds ? ", executed with removed channels cut out" : "",
      experiment_.speeds ? "" : "; for speed see `espalier bench`");
  for (const Cell& cell : cells_of(rows_)) {
    const RunRow& row = *cell.first;
    const auto mean = [&](auto value) { return over_seeds(cell, value).mean; };
    out += fmt::format(
        "| {} | {} | {} | {} | {:.4g} | {:.4f} | {} | {} | {} | {} | {} | {} | {:.0f} | {} | "
        "{:.0f} "
        "|\n",
        row.model,
        row.data,
        row.method,
        row.variant,
        row.sparsity_asked,
        mean([](const RunRow& r) { return r.sparsity; }),
        experiment_.accuracies
            ? percent_with_deviation(over_seeds(cell, [](const RunRow& r) { return r.accuracy; }))
            : "-",
        cell.rows.size(),
        short_count(mean([](const RunRow& r) { return r.params_nonzero; })),
        short_count(mean([](const RunRow& r) { return r.macs_dense; })),
        short_count(mean([](const RunRow& r) { return r.macs_effective; })),
        short_count(mean([](const RunRow& r) { return deployed_macs(r); })),
        mean([](const RunRow& r) { return r.images_per_second; }),
        row.seconds_per_epoch > 0.0
            ? fmt::format("{:.2f}", mean([](const RunRow& r) { return r.seconds_per_epoch; }))
            : "-",
        mean([](const RunRow& r) { return r.collapsed(); }) *
            static_cast<double>(cell.rows.size()));
  }
  return out + "\n";
}

std::string ExperimentPage::speeds_section() const {
  if (!experiment_.speeds) return {};
  std::string out = fmt::format(
      "## Speed of what came out\n\nInference of the trained networks as compiled plans, removed "
      "channels cut out of the network, and of the dense network of the same architecture in turn "
      "with it: batches of {}, and one image at a time. MACs are those of one image that the "
      "kernels execute. Means over seeds.\n\n"
      "| model | method | variant | sparsity | MACs executed | of dense | images/s | dense | "
      "speed-up | one image, ms | dense | speed-up |\n|---|---|---|---|---|---|---|---|---|---|---|"
      "---|\n",
      kSpeedBatch);
  for (const Cell& cell : cells_of(rows_)) {
    const RunRow& row = *cell.first;
    if (!row.speed) continue;
    const auto mean = [&](auto value) {
      return over_seeds(cell, [&](const RunRow& r) { return value(r.speed.value()); }).mean;
    };
    const double images = mean([](const RunSpeed& s) { return s.images_per_second; });
    const double images_dense = mean([](const RunSpeed& s) { return s.images_per_second_dense; });
    const double one = mean([](const RunSpeed& s) { return s.one_image_ms; });
    const double one_dense = mean([](const RunSpeed& s) { return s.one_image_ms_dense; });
    const double macs = mean([](const RunSpeed& s) { return s.macs_executed; });
    const double macs_dense = mean([](const RunSpeed& s) { return s.macs_dense; });
    out += fmt::format(
        "| {} | {} | {} | {:.4f} | {} | {:.1f} % | {:.0f} | {:.0f} | {:.2f} | {:.3f} | {:.3f} | "
        "{:.2f} |\n",
        row.model,
        row.method,
        row.variant,
        over_seeds(cell, [](const RunRow& r) { return r.sparsity; }).mean,
        short_count(macs),
        100.0 * macs / macs_dense,
        images,
        images_dense,
        images / images_dense,
        one,
        one_dense,
        one_dense / one);
  }
  return out + "\n";
}

std::string ExperimentPage::findings_section() const {
  std::string out =
      fmt::format("## Beside the {}\n\n", from_the_survey(experiment_) ? "survey" : "papers");
  if (is_too_short(scale_)) {
    out +=
        "The preset smoke trains for seconds, on made-up digits, to see that everything runs. That "
        "is too short to tell anything of these sentences; the presets quick and paper hold them "
        "against their figures.\n\n";
    for (const Finding& finding : findings_) {
      out += fmt::format("**{}:** {}\n\n**Here: {}.**\n\n",
                         finding.claim.source,
                         finding.claim.sentence,
                         finding.text());
    }
    if (experiment_.more) out += experiment_.more(rows_, false) + "\n";
    return out;
  }
  if (!findings_.empty()) {
    out += fmt::format(
        "Differences are in points of accuracy, paired by seed, with the standard error over "
        "seeds. "
        "How sure: the mean difference over its standard error; below {:.0f} it is called not "
        "sure. "
        "Seeds are few: as a rule of thumb, with three of them, 4.3 is what chance exceeds once in "
        "twenty times. Where the highest or the lowest of several cases decides, chance favours "
        "it.\n\n",
        kSureRatio);
  }
  for (const Finding& finding : findings_) {
    out += fmt::format("**{}:** {}\n\n**Here: {}.**\n\n",
                       finding.claim.source,
                       finding.claim.sentence,
                       finding.text());
    out += fmt::format("| {} against {}, in | difference | how sure |\n|---|---|---|\n",
                       fmt::join(finding.claim.higher, ", "),
                       fmt::join(finding.claim.lower, ", "));
    for (const Difference& one : finding.groups) {
      out += fmt::format(
          "| {} | {} | {} |\n", one.group, points_with_error(one.accuracy), sureness(one.accuracy));
    }
    if (finding.overall.count > 0) {
      out += fmt::format(
          "| all | {} | {} |\n", points_with_error(finding.overall), sureness(finding.overall));
    }
    out += "\n";
  }
  if (experiment_.more) out += experiment_.more(rows_, true) + "\n";
  return out;
}

std::string ExperimentPage::layers_section() const {
  if (!experiment_.layers) return {};
  std::string out = "## Layers\n\nKept share of each layer in %, mean over seeds.\n\n";
  // A table for each network: columns are methods on a data set.
  std::vector<std::string> models;
  for (const RunRow& row : rows_) {
    if (std::find(models.begin(), models.end(), row.model) == models.end()) {
      models.push_back(row.model);
    }
  }
  for (const std::string& model : models) {
    std::vector<Cell> cells;
    for (const Cell& cell : cells_of(rows_)) {
      if (cell.first->model == model && cell.first->sparsity_asked > 0.0) cells.push_back(cell);
    }
    if (cells.empty()) continue;
    std::string head = "| " + model + " |";
    std::string rule = "|---|";
    for (const Cell& cell : cells) {
      const RunRow& row = *cell.first;
      head += fmt::format(" {} {} {:.4g} |", row.method, row.data, row.sparsity_asked);
      rule += "---|";
    }
    out += fmt::format("{}\n{}\n", head, rule);
    for (size_t layer = 0; layer < cells.front().first->layers.size(); ++layer) {
      out += "| " + cells.front().first->layers[layer].name + " |";
      for (const Cell& cell : cells) {
        out += " " +
               percent(over_seeds(cell,
                                  [&](const RunRow& row) { return row.layers.at(layer).density(); })
                           .mean) +
               " |";
      }
      out += "\n";
    }
    out += "\n";
  }
  return out;
}

std::string ExperimentPage::failures_section() const {
  if (failed() == 0) return {};
  std::string out = "## Runs that failed\n\n| run | error |\n|---|---|\n";
  for (const RunRow& row : rows_) {
    if (!row.finished()) out += "| " + title_of(row) + " | " + escaped(row.error) + " |\n";
  }
  return out + "\n";
}

std::string ExperimentPage::markdown(const std::string& command) const {
  return fmt::format(
             "# {}\n\nThe survey: arXiv 2308.06767, {}. {}\n\n"
             "- preset `{}`: {}, {}; seeds {}\n- made by `{}`\n- espalier {}; runs "
             "made on {}\n\n",
             experiment_.title,
             experiment_.section,
             experiment_.what,
             name(scale_.preset),
             data_sets(rows_),
             settings_of(scale_),
             fmt::join(scale_.seeds, ", "),
             command,
             version(),
             machines_of(rows_)) +
         findings_section() + results_section() + speeds_section() + layers_section() +
         failures_section();
}

Json ExperimentPage::json() const {
  Json out = {{"experiment", experiment_.name},
              {"preset", name(scale_.preset)},
              {"runs", rows_.size()},
              {"failed", Json::array()},
              {"findings", Json::array()}};
  for (const RunRow& row : rows_) {
    if (!row.finished()) out["failed"].push_back({{"run", title_of(row)}, {"error", row.error}});
  }
  for (const Finding& finding : findings_) {
    const Summary& decisive = finding.decisive;
    const auto number = [](const std::optional<double>& value) {
      return value ? Json(*value) : Json();
    };
    out["findings"].push_back({{"survey", finding.claim.sentence},
                               {"verdict", name(finding.verdict)},
                               {"sure", !is_too_short(scale_) && is_sure(decisive)},
                               {"seeds", decisive.count},
                               {"difference", decisive.mean},
                               {"standard_error", number(decisive.standard_error)},
                               {"text", finding.text()}});
  }
  return out;
}

}  // namespace espalier::experiments::comparisons
