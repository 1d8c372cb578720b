// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/report/sources.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <espalier/core/error.h>
#include <espalier/experiments/run/run_files.h>
#include <espalier/experiments/run/run_folder.h>

namespace espalier::experiments::report {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

std::string text_of(const Json& settings, const char* name) {
  const Json value = settings.value(name, Json());
  return value.is_string() ? value.get<std::string>() : std::string();
}

// Settings of the run that wrote `file`; an empty object when it is not known.
Json settings_of_writer(const fs::path& folder, const fs::path& file) {
  const fs::path named = file.lexically_normal().parent_path();
  const fs::path beside = (folder / "..").lexically_normal() / named.filename();
  for (const fs::path& place : {named, beside}) {
    std::error_code ignored;
    if (!fs::exists(place / kRunFile, ignored)) continue;
    try {
      return read_run(place).run.at("settings");
    } catch (const IoError&) {
      return Json::object();  // told where that run itself is read
    }
  }
  return Json::object();
}

double sparsity_of(const Json& settings) {
  const Json value = settings.value("sparsity", Json());
  return value.is_number() ? value.get<double>() : 0.0;
}

std::string words_for(const Json& writer, const Json& reader) {
  const std::string method = text_of(writer, "prune");
  std::string out = method.empty() ? "dense" : method;
  if (sparsity_of(writer) > 0.0) out += fmt::format(" {:.4g}", sparsity_of(writer));
  for (const char* name : {"model", "data"}) {
    if (text_of(writer, name) != text_of(reader, name)) out += " " + text_of(writer, name);
  }
  return out;
}

}  // namespace

RunSources sources_of(const fs::path& folder, const Json& settings) {
  RunSources out;
  for (const char* name : {"weights", "mask-from"}) {
    const std::string file = text_of(settings, name);
    if (file.empty()) continue;
    const bool masks = std::string(name) == "mask-from";
    const Json writer = settings_of_writer(folder, file);
    const std::string words = writer.empty() ? std::string() : words_for(writer, settings);
    out.words[name] = words.empty() || words == "dense" ? (masks ? "given" : "trained") : words;
    if (masks) out.sparsity_of_masks = sparsity_of(writer);
  }
  return out;
}

}  // namespace espalier::experiments::report
