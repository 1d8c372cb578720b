// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/run/run_ground.h>

#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <espalier/core/detail/json.h>
#include <espalier/core/simd.h>
#include <espalier/data/identity.h>

namespace espalier::experiments {
namespace {

using Json = nlohmann::ordered_json;

Json split_json(const data::Dataset& dataset) {
  const data::DatasetIdentity identity = data::identify(dataset);
  return {{"samples", identity.samples},
          {"shape", {identity.shape.channels, identity.shape.height, identity.shape.width}},
          {"classes", identity.class_names},
          {"fingerprint", identity.fingerprint}};
}

data::DatasetIdentity identity_of(const Json& json) {
  const auto whole = [](const Json& value) { return espalier::detail::json_whole(value).value(); };
  const Json& shape = json.at("shape");
  return {.samples = whole(json.at("samples")),
          .shape = {whole(shape.at(0)), whole(shape.at(1)), whole(shape.at(2))},
          .class_names = json.at("classes").get<std::vector<std::string>>(),
          .fingerprint = json.at("fingerprint").get<std::string>()};
}

}  // namespace

RunGround ground_of(const data::Dataset& train, const data::Dataset& test, bool allow_other_simd) {
  return {.data = {{"train", split_json(train)}, {"test", split_json(test)}},
          .simd = std::string(simd_target()),
          .allow_other_simd = allow_other_simd};
}

std::string data_differences(const Json& run, const RunGround& now) {
  std::string out;
  const Json then = run.value("data", Json());
  if (!then.is_object() || !now.data.is_object()) return out;
  for (const auto& [split, facts] : now.data.items()) {
    const Json old = then.value(split, Json());
    std::string what;
    try {
      if (old.is_object()) what = data::first_difference(identity_of(old), identity_of(facts));
    } catch (const std::exception&) {  // a run.json that somebody wrote by hand
      what = "run.json does not tell what it was";
    }
    if (!what.empty()) out += fmt::format("{}{} split: {}", out.empty() ? "" : "; ", split, what);
  }
  return out;
}

std::string newest_simd(const Json& run) {
  const Json later = run.value("continued_with_simd", Json::array());
  if (later.is_array() && !later.empty() && later.back().is_string()) {
    return later.back().get<std::string>();
  }
  const Json machine = run.value("machine", Json::object());
  const Json simd = machine.is_object() ? machine.value("simd", Json()) : Json();
  return simd.is_string() ? simd.get<std::string>() : std::string();
}

}  // namespace espalier::experiments
