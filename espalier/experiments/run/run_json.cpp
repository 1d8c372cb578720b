// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/run/run_json.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <espalier/core/detail/checksum.h>
#include <espalier/core/detail/json.h>
#include <espalier/core/io.h>
#include <espalier/experiments/run/run_files.h>

namespace espalier::experiments {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using espalier::detail::excerpt;
using espalier::detail::json_kind;
using espalier::detail::json_whole;

constexpr const char* kChecksumKey = "checksum";  // over the text with zeros there
constexpr const char* kChecksumStart = "crc32:";
constexpr int64_t kMostBytes = int64_t{16} << 20;

constexpr std::array<std::string_view, 8> kWholes = {"params",
                                                     "params_nonzero",
                                                     "macs_dense",
                                                     "macs_effective",
                                                     "macs_executed",
                                                     "correct",
                                                     "total",
                                                     "threads"};
constexpr std::array<std::string_view, 5> kReals = {
    "accuracy", "loss", "sparsity", "images_per_second", "seconds"};

uint32_t crc32_of(const std::string& text) {
  return espalier::detail::crc32({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

std::string checksum_value(uint32_t crc) {
  return fmt::format("{}{:08x}", kChecksumStart, crc);
}

// Reads members of one file; every failure names it.
class Checker {
 public:
  explicit Checker(const fs::path& path) : path_(path) {}

  template <class... Args>
  void check(bool condition, const Args&... text) const {
    if (!condition) throw IoError(cat("run: ", path_.string(), ": ", text...));
  }

  void text(const Json& json, const char* name) const {
    if (!json.contains(name)) return;
    const Json& value = json.at(name);
    check(value.is_string(), "'", name, "' expects a text, got ", json_kind(value));
  }

  // An object of texts, numbers and booleans; the empty one if it isn't there.
  const Json& values(const Json& json, const char* name) const {
    static const Json kNone = Json::object();
    if (!json.contains(name)) return kNone;
    const Json& object = json.at(name);
    check(object.is_object(), "'", name, "' expects an object, got ", json_kind(object));
    for (const auto& [key, value] : object.items()) {
      check(!value.is_structured(),
            "'",
            excerpt(key),
            "' of ",
            name,
            " expects a text, a number, true or false, got ",
            json_kind(value));
    }
    return object;
  }

  void number(const Json& value, const std::string& name, bool whole, bool may_be_null) const {
    if (value.is_null() && may_be_null) return;
    check(whole ? json_whole(value).has_value() : value.is_number(),
          "'",
          excerpt(name),
          whole ? "' expects a whole number, got " : "' expects a number, got ",
          value.is_number() ? value.dump() : std::string(json_kind(value)));
  }

  void numbers(const Json& values) const {
    for (const auto& [name, value] : values.items()) {
      const bool whole = std::find(kWholes.begin(), kWholes.end(), name) != kWholes.end();
      const bool real = std::find(kReals.begin(), kReals.end(), name) != kReals.end();
      // A loss that overflowed is written as null.
      if (whole || real) number(value, name, whole, name == "loss");
    }
  }

  void timing(const Json& run) const {
    if (!run.contains("timing") || run.at("timing").is_null()) return;
    const Json& timing = run.at("timing");
    check(timing.is_object(), "'timing' expects an object, got ", json_kind(timing));
    if (!timing.contains("layers")) return;
    const Json& layers = timing.at("layers");
    check(layers.is_array(), "'layers' of timing expects a list, got ", json_kind(layers));
    const Json& batch = member(timing, "batch", "timing");
    number(batch, "batch", true, false);
    for (const Json& layer : layers) {
      check(layer.is_object(), "a layer of timing expects an object, got ", json_kind(layer));
      for (const char* name : {"name", "kernel", "reason"}) {
        member(layer, name, "a layer of timing");
        text(layer, name);
      }
      for (const char* name : {"density", "milliseconds", "milliseconds_dense"}) {
        number(member(layer, name, "a layer of timing"), name, false, false);
      }
    }
  }

  const Json& member(const Json& json, const char* name, const char* of) const {
    check(json.contains(name), of, " has no '", name, "'");
    return json.at(name);
  }

 private:
  const fs::path& path_;
};

}  // namespace

RunJsonState check_run_json(const std::string& text) {
  const size_t key = text.rfind(cat("\"", kChecksumKey, "\": \""));
  if (key == std::string::npos) {
    // What is told of other files is as young as the checksum.
    return text.find("\n  \"files\": ") == std::string::npos ? RunJsonState::Unchecked
                                                             : RunJsonState::Changed;
  }
  const size_t at = text.find(kChecksumStart, key);
  if (at == std::string::npos) return RunJsonState::Changed;
  const std::string zeros = checksum_value(0);
  std::string blank = text;
  blank.replace(at, zeros.size(), zeros);
  const std::string right = checksum_value(crc32_of(blank));
  return text.compare(at, right.size(), right) == 0 ? RunJsonState::Whole : RunJsonState::Changed;
}

void write_run_json(const fs::path& path, Json run) {
  run.erase(kChecksumKey);  // last, as new
  run[kChecksumKey] = checksum_value(0);
  std::string text = run.dump(2) + "\n";
  const std::string zeros = checksum_value(0);
  text.replace(text.rfind(zeros), zeros.size(), checksum_value(crc32_of(text)));
  write_file(path, text);
}

Json read_run_json(const fs::path& path) {
  const std::vector<uint8_t> bytes = read_file(path, "run", kMostBytes);
  Json run = espalier::detail::parse_json<Json>(bytes, cat("run: ", path.string()));
  ESPALIER_CHECK(check_run_json({bytes.begin(), bytes.end()}) != RunJsonState::Changed,
                 IoError,
                 "run: ",
                 path.string(),
                 ": damaged or changed: its checksum is not that of its text. Whoever changes it "
                 "takes the members 'checksum' and 'files' out");
  const Checker checker(path);
  checker.check(run.is_object(), "holds no JSON object but ", json_kind(run));
  checker.check(run.contains("settings"), "holds no settings: not a run folder");
  for (const char* name : {"version", "status", "started", "finished", "error"}) {
    checker.text(run, name);
  }
  checker.values(run, "settings");
  const Json& machine = checker.values(run, "machine");
  checker.numbers(machine);
  checker.text(machine, "processor");
  checker.numbers(checker.values(run, "results"));
  checker.timing(run);
  return run;
}

Json file_record(const fs::path& path) {
  const std::vector<uint8_t> bytes = read_file(path, "run");
  return {{"bytes", bytes.size()},
          {"crc32", fmt::format("{:08x}", espalier::detail::crc32(bytes))}};
}

std::string wrong_beside_record(const Json& run, const fs::path& folder, const char* name) {
  const Json files = run.is_object() ? run.value("files", Json::object()) : Json();
  if (!files.is_object() || !files.contains(name)) return "";
  if (!fs::exists(folder / name)) return cat("is missing, which ", kRunFile, " tells");
  return file_record(folder / name) == files.at(name)
             ? ""
             : cat("is not the file that ", kRunFile, " tells: its bytes are others");
}

void check_finished_results(const Json& results, const fs::path& path) {
  const Checker checker(path);
  const auto there = [&](std::string_view name) {
    checker.member(results, std::string(name).c_str(), "what the finished run came to");
  };
  for (const std::string_view name : kReals) there(name);
  for (const std::string_view name : kWholes) {
    if (name != "threads") there(name);
  }
}

}  // namespace espalier::experiments
