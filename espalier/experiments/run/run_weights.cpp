// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/run/run_weights.h>

#include <algorithm>

#include <nlohmann/json.hpp>

#include <espalier/core/error.h>
#include <espalier/experiments/run/run_files.h>
#include <espalier/experiments/run/run_json.h>

namespace espalier::experiments {

namespace fs = std::filesystem;

fs::path weights_at(const fs::path& path) {
  if (!fs::is_directory(path)) return path;
  ESPALIER_CHECK(fs::exists(path / kRunFile),
                 IoError,
                 path.string(),
                 ": expected a file of weights or a run folder, got a folder without ",
                 kRunFile);
  const nlohmann::ordered_json run = read_run_json(path / kRunFile);
  ESPALIER_CHECK(fs::exists(path / kModelFile),
                 ValueError,
                 path.string(),
                 ": expected a finished run, got one that is ",
                 run.value("status", std::string("unknown")),
                 ", without ",
                 kModelFile);
  return path / kModelFile;
}

std::optional<TrainSettings> settings_beside(const fs::path& file) {
  const fs::path run = file.parent_path() / kRunFile;
  if (!fs::exists(run)) return std::nullopt;
  const nlohmann::ordered_json told =
      read_run_json(run).value("settings", nlohmann::ordered_json::object());
  OptionTexts texts;
  for (const Option& option : train_table().options()) {
    const auto value = told.find(option.name);
    if (value == told.end() || value->is_null()) continue;
    texts[option.name] = value->is_string() ? value->get<std::string>() : value->dump();
  }
  // An idle setting is told too, at its default.
  std::erase_if(texts, [&](const auto& entry) {
    const auto option = std::ranges::find(train_table().options(), entry.first, &Option::name);
    return !option->needs.option.empty();
  });
  return train_table().read(run.string(), texts);
}

}  // namespace espalier::experiments
