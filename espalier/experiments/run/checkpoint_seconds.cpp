// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/run/checkpoint_seconds.h>

#include <charconv>

#include <fmt/format.h>

#include <espalier/nn/train/checkpoint.h>

namespace espalier::experiments {
namespace {

constexpr const char* kSeconds = "seconds";

}  // namespace

void set_checkpoint_seconds(SafetensorsFile& checkpoint, double seconds) {
  checkpoint.metadata[kSeconds] = fmt::format("{:.6f}", seconds);
}

double checkpoint_seconds(const SafetensorsFile& checkpoint) {
  const auto text = checkpoint.metadata.find(kSeconds);
  ESPALIER_CHECK(
      text != checkpoint.metadata.end(), IoError, "checkpoint: holds no '", kSeconds, "'");
  double value = 0.0;
  const char* end = text->second.data() + text->second.size();
  ESPALIER_CHECK(std::from_chars(text->second.data(), end, value).ec == std::errc{},
                 IoError,
                 "checkpoint: '",
                 kSeconds,
                 "' is no number: ",
                 text->second);
  return value;
}

void check_run_checkpoint(const SafetensorsFile& checkpoint, const std::string& where) {
  nn::check_checkpoint(checkpoint, where);
  checkpoint_seconds(checkpoint);
}

}  // namespace espalier::experiments
