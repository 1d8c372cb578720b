// SPDX-License-Identifier: Apache-2.0
// Fuzz target: a run folder as `report` reads it. The first byte says which file the others are: 0
// run.json, otherwise metrics.jsonl.
#include <nlohmann/json.hpp>

#include <espalier/core/error.h>
#include <espalier/core/fuzz/target.h>
#include <espalier/experiments/run/run_folder.h>

namespace espalier::fuzz {
namespace {

constexpr const char* kRun = R"({"settings": {"model": "resnet20"}, "state": "finished"})";

}  // namespace

void read(const Bytes& input) {
  if (input.empty()) throw IoError("empty");
  const Bytes body(input.begin() + 1, input.end());
  const std::string run = kRun;
  const std::string lines =
      experiments::EpochMetrics{.epoch = 1, .step = 8}.to_json().dump() + "\n";
  put("run/run.json", input[0] == 0 ? body : Bytes(run.begin(), run.end()));
  put("run/metrics.jsonl", input[0] == 0 ? Bytes(lines.begin(), lines.end()) : body);
  const experiments::RunRecord record = experiments::read_run(folder() / "run");
  saw(record.run.dump());
  for (const auto& line : record.metrics) saw(line.to_json().dump());
}

std::vector<Bytes> seeds() {
  std::string run = kRun;
  std::string lines = experiments::EpochMetrics{.epoch = 1, .step = 8}.to_json().dump() + "\n";
  run.insert(run.begin(), '\0');
  lines.insert(lines.begin(), '\1');
  return {Bytes(run.begin(), run.end()), Bytes(lines.begin(), lines.end())};
}

std::vector<Bytes> refused() {
  const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
  std::vector<Bytes> out;
  for (std::string text :
       {deep, R"({"settings":{"zz":)" + deep + "}}", std::string(R"({"settings":[]})")}) {
    text.insert(text.begin(), '\0');
    out.emplace_back(text.begin(), text.end());
    text[0] = '\1';
    out.emplace_back(text.begin(), text.end());
  }
  return out;
}

}  // namespace espalier::fuzz
