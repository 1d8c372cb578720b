// SPDX-License-Identifier: Apache-2.0
/// Run folders that tests of the report invent.
#pragma once

#include <filesystem>

#include <nlohmann/json.hpp>

#include <espalier/core/io.h>

namespace espalier::testing {

/// A run folder of a ResNet-20 on SynthDigits with made-up figures.
inline void write_run(const std::filesystem::path& folder,
                      nlohmann::ordered_json settings,
                      double accuracy,
                      double sparsity = 0.0,
                      const char* status = "finished") {
  settings["model"] = "resnet20";
  settings["data"] = "synth";
  const nlohmann::ordered_json run = {{"status", status},
                                      {"settings", settings},
                                      {"results",
                                       {{"accuracy", accuracy},
                                        {"sparsity", sparsity},
                                        {"images_per_second", 100.0 * (1.0 + sparsity)},
                                        {"macs_executed", 5e6}}}};
  write_file(folder / "run.json", run.dump());
}

}  // namespace espalier::testing
