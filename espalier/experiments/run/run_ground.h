// SPDX-License-Identifier: Apache-2.0
/// What a run stands on besides its settings: the data and the vector instructions. A run that is
/// continued must find the same again, or its end would be that of no run.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include <espalier/data/dataset.h>

namespace espalier::experiments {

/// As found now.
struct RunGround {
  /// By split what data/identity.h tells. Null: not compared.
  nlohmann::ordered_json data = {};
  std::string simd = {};  ///< core/simd.h's name; empty: not compared
  /// Go on with other vector instructions, with which last bits differ.
  bool allow_other_simd = false;
};

/// Of this machine, for a training on these splits.
RunGround ground_of(const data::Dataset& train, const data::Dataset& test, bool allow_other_simd);

/// What differs between the data that a run.json tells and those of now, in words; empty for
/// nothing. What an older run.json does not tell is not compared.
std::string data_differences(const nlohmann::ordered_json& run, const RunGround& now);

/// The vector instructions of the newest attempt that a run.json tells; empty if it tells none.
std::string newest_simd(const nlohmann::ordered_json& run);

}  // namespace espalier::experiments
