// SPDX-License-Identifier: Apache-2.0
/// `espalier doctor`: the machine, the libraries and whether they compute right, the data sets
/// found.
#include <filesystem>
#include <memory>
#include <ostream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <espalier/core/parallel.h>
#include <espalier/core/simd.h>
#include <espalier/data/dataset.h>
#include <espalier/experiments/failure.h>
#include <espalier/experiments/figures.h>
#include <espalier/experiments/inputs/inputs.h>
#include <espalier/experiments/machine.h>
#include <espalier/experiments/settings/parts.h>
#include <espalier/experiments/verbs/verbs.h>

namespace espalier::experiments::verbs {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct DoctorFlags {
  std::string data_root = default_data_root();
  bool json = false;
};

Json examine(const std::string& data_root) {
  const BlasCheck blas = check_blas();
  Json datasets = Json::array();
  for (const data::DatasetInfo& info : data::known_datasets()) {
    const fs::path folder = fs::path(data_root) / info.folder;
    const bool found = is_found(info, data_root);
    datasets.push_back({{"name", info.name},
                        {"title", info.title},
                        {"found", found},
                        {"place", info.folder.empty() ? "" : folder.string()}});
  }
  return {
      {"version", version()},
      {"machine", measured_machine_json()},
      {"simd_targets", simd_targets()},
      {"blas",
       {{"core", blas.core}, {"version", blas.version}, {"error", blas.worst}, {"ok", blas.ok}}},
      {"data_root", data_root},
      {"datasets", datasets}};
}

/// What the time between processors says, for people.
std::string hand_over_text(const Json& time) {
  if (time.is_null()) return "not measured: one processor, or no thread to be had";
  constexpr double kShared = 60.0;
  const auto nearest = time.at("nearest").get<double>();
  const auto farthest = time.at("farthest").get<double>();
  return fmt::format("{:.0f} to {:.0f} ns from a write to another processor's read: {}",
                     nearest,
                     farthest,
                     farthest < kShared  ? "they share a cache"
                     : nearest < kShared ? "some share a cache, others don't"
                                         : "they share no cache, or other work runs");
}

std::string text(const Json& report) {
  const Json& machine = report.at("machine");
  const Json& blas = report.at("blas");
  std::string simd;
  for (const Json& target : report.at("simd_targets")) simd += target.get<std::string>() + " ";
  std::string out = fmt::format(
      "espalier   {}\nprocessor  {}\nthreads    {}\nhand-over  {}\nSIMD       {}\ncompiler   {}\n"
      "OpenBLAS   {}, core {}\n           self-test {}: error {:.1e}\n\n",
      report.at("version").get<std::string>(),
      machine.at("processor").get<std::string>(),
      machine.at("threads").get<int>(),
      hand_over_text(machine.at("hand_over_ns")),
      simd,
      machine.at("compiler").get<std::string>(),
      blas.at("version").get<std::string>(),
      blas.at("core").get<std::string>(),
      blas.at("ok").get<bool>() ? "passed" : "FAILED",
      blas.at("error").get<double>());
  std::vector<std::vector<std::string>> rows = {{"data set", "found", "place"}};
  for (const Json& dataset : report.at("datasets")) {
    rows.push_back({dataset.at("name").get<std::string>(),
                    dataset.at("found").get<bool>() ? "yes" : "no",
                    dataset.at("place").get<std::string>()});
  }
  return out + text_table(rows);
}

void doctor(const DoctorFlags& flags, Console& console) {
  const Json report = examine(flags.data_root);
  console.out << (flags.json ? report.dump(2) + "\n" : text(report));
  if (!report.at("blas").at("ok").get<bool>()) {
    throw RunFailure(cat("doctor: OpenBLAS computes wrong products with its kernels for ",
                         report.at("blas").at("core").get<std::string>(),
                         ". Set OPENBLAS_CORETYPE=Haswell (or Zen) in the environment"));
  }
}

}  // namespace

void add_doctor(const Verb& app, Console& console, Action& action) {
  const Verb verb = app.add_verb(
      "doctor", "The machine, the libraries and whether they compute right, the data sets found.");
  const auto flags = std::make_shared<DoctorFlags>();
  verb.add_option("--data-root",
                  flags->data_root,
                  "folder of the data sets; also the environment variable ESPALIER_DATA")
      .type_name("DIR")
      .show_default();
  verb.add_flag("--json", flags->json, "print as JSON");
  verb.callback(
      [&action, &console, flags] { action = [&console, flags] { doctor(*flags, console); }; });
}

}  // namespace espalier::experiments::verbs
