// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/run_ground.h>

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include <espalier/core/simd.h>

namespace espalier::experiments {
namespace {

using Json = nlohmann::ordered_json;

// FNV-1a of all labels and of the pixels of samples spread over the data set: of small ones all.
std::string fingerprint(const data::Dataset& dataset) {
  constexpr int64_t kMostSamples = 1024;
  uint64_t hash = 14695981039346656037ull;
  const auto add = [&hash](uint8_t byte) { hash = (hash ^ byte) * 1099511628211ull; };
  for (int64_t i = 0; i < dataset.size(); ++i) add(static_cast<uint8_t>(dataset.label(i)));
  const int64_t samples = std::min(dataset.size(), kMostSamples);
  std::vector<uint8_t> pixels(static_cast<size_t>(dataset.image_shape().numel()));
  for (int64_t s = 0; s < samples; ++s) {
    dataset.read(s * dataset.size() / samples, pixels);
    for (const uint8_t pixel : pixels) add(pixel);
  }
  return fmt::format("{:016x}", hash);
}

Json split_json(const data::Dataset& dataset) {
  return {{"samples", dataset.size()},
          {"classes", dataset.class_names()},
          {"fingerprint", fingerprint(dataset)}};
}

std::string text_of(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

// Of two lists of class names the first place where they differ.
std::string class_difference(const Json& then, const Json& now) {
  if (!then.is_array() || then.size() != now.size()) {
    return fmt::format("{} classes then, {} now", then.is_array() ? then.size() : 0, now.size());
  }
  size_t at = 0;
  while (at < now.size() && then[at] == now[at]) ++at;
  return fmt::format("class {} was '{}', now it is '{}'", at, text_of(then[at]), text_of(now[at]));
}

}  // namespace

RunGround ground_of(const data::Dataset& train, const data::Dataset& test, bool allow_other_simd) {
  return {.data = {{"train", split_json(train)}, {"test", split_json(test)}},
          .simd = std::string(simd_target()),
          .allow_other_simd = allow_other_simd};
}

std::string data_differences(const Json& run, const RunGround& now) {
  std::string out;
  const Json then = run.value("data", Json::object());
  if (!then.is_object() || !now.data.is_object()) return out;
  const auto add = [&](const std::string& split, const std::string& what) {
    out += fmt::format("{}{} split: {}", out.empty() ? "" : "; ", split, what);
  };
  for (const auto& [split, facts] : now.data.items()) {
    const Json old = then.value(split, Json::object());
    if (!old.is_object()) continue;
    const auto differs = [&](const char* key) {
      return old.contains(key) && old.at(key) != facts.at(key);
    };
    if (differs("samples")) {
      add(split,
          fmt::format(
              "{} samples then, {} now", text_of(old.at("samples")), text_of(facts.at("samples"))));
    }
    if (differs("classes")) add(split, class_difference(old.at("classes"), facts.at("classes")));
    if (differs("fingerprint") && !differs("samples") && !differs("classes")) {
      add(split, "other pictures or labels");
    }
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
