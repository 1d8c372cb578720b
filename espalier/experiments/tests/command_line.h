// SPDX-License-Identifier: Apache-2.0
/// Calls the command inside the test program. Tests only.
#pragma once

#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <espalier/core/tests/temporary_folder.h>
#include <espalier/experiments/command/command.h>

namespace espalier::experiments {

/// What one call did.
struct Outcome {
  int code = 0;
  std::string out;
  std::string err;
  nlohmann::json json() const { return nlohmann::json::parse(out); }
};

inline Outcome espalier_command(const std::vector<std::string>& arguments) {
  std::ostringstream out;
  std::ostringstream err;
  Console console{.out = out, .err = err};
  const int code = run_command(arguments, console);
  return {code, out.str(), err.str()};
}

/// Flags of a training of a second or less, with one thread so that many may run at once.
inline std::vector<std::string> tiny_training(const std::filesystem::path& out,
                                              const std::vector<std::string>& more = {}) {
  std::vector<std::string> arguments = {
      "train",   "--model",      "resnet20", "--width",     "0.25",   "--data", "synth",
      "--batch", "16",           "--epochs", "2",           "--seed", "3",      "--threads",
      "1",       "--train-size", "40",       "--test-size", "20",     "--out",  out.string()};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

/// `eval --json` of a file of ours on the test images of `tiny_training`.
inline nlohmann::json tiny_evaluation(const std::string& weights) {
  return espalier_command(
             {"eval", "--weights", weights, "--data", "synth", "--test-size", "20", "--json"})
      .json();
}

}  // namespace espalier::experiments
