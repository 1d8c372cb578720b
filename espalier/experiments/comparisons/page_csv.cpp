// SPDX-License-Identifier: Apache-2.0
// The tables of an experiment as CSV: a line a run, and a line a layer.
#include <fmt/format.h>

#include <espalier/experiments/comparisons/page.h>
#include <espalier/experiments/csv.h>

namespace espalier::experiments::comparisons {
namespace {

std::string names_of_run(const RunRow& row) {
  return fmt::format("{},{},{},{},{},{}",
                     csv_field(row.model),
                     csv_field(row.data),
                     csv_field(row.method),
                     csv_field(row.variant),
                     row.sparsity_asked,
                     row.seed);
}

std::string figures_of_run(const RunRow& row) {
  return fmt::format("{},{},{},{},{},{},{},{},{:.1f},{:.3f},{}",
                     row.sparsity,
                     row.accuracy,
                     row.loss,
                     row.params,
                     row.params_nonzero,
                     row.macs_dense,
                     row.macs_effective,
                     row.macs_executed,
                     row.images_per_second,
                     row.seconds_per_epoch,
                     row.collapsed());
}

// Fields of CSV; empty where nothing was timed.
std::string speed_of_run(const RunRow& row) {
  if (!row.speed) return ",,,,";
  return fmt::format("{:.1f},{:.1f},{:.4f},{:.4f},{}",
                     row.speed->images_per_second,
                     row.speed->images_per_second_dense,
                     row.speed->one_image_ms,
                     row.speed->one_image_ms_dense,
                     row.speed->macs_executed);
}

}  // namespace

std::string ExperimentPage::csv() const {
  std::string out =
      "model,data,method,variant,sparsity_asked,seed,sparsity,accuracy,loss,params,params_nonzero,"
      "macs_dense,macs_effective,macs_executed,images_per_second,seconds_per_epoch,"
      "collapsed_layers,speed_images_per_second,speed_images_per_second_dense,speed_one_image_ms,"
      "speed_one_image_ms_dense,speed_macs_executed,compared,run,error\n";
  for (const RunRow& row : rows_) {
    out += names_of_run(row) + "," + (row.finished() ? figures_of_run(row) : ",,,,,,,,,,") + "," +
           speed_of_run(row) + (row.compared ? ",1," : ",0,") + csv_field(row.folder) + "," +
           csv_field(row.error) + "\n";
  }
  return out;
}

std::string ExperimentPage::layers_csv() const {
  std::string out = "model,data,method,variant,sparsity_asked,seed,layer,total,kept,density\n";
  for (const RunRow& row : rows_) {
    for (const LayerDensity& layer : row.layers) {
      out += fmt::format("{},{},{},{},{}\n",
                         names_of_run(row),
                         layer.name,
                         layer.total,
                         layer.kept,
                         layer.density());
    }
  }
  return out;
}

}  // namespace espalier::experiments::comparisons
