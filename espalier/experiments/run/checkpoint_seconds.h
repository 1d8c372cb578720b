// SPDX-License-Identifier: Apache-2.0
/// What the checkpoint of a run (nn/train/checkpoint.h) tells besides: how long training took.
#pragma once

#include <string>

#include <espalier/core/safetensors.h>

namespace espalier::experiments {

/// Writes down the seconds of training so far.
void set_checkpoint_seconds(SafetensorsFile& checkpoint, double seconds);

/// Seconds of training that the checkpoint tells. Throws IoError when it tells none.
double checkpoint_seconds(const SafetensorsFile& checkpoint);

/// As nn::check_checkpoint, and for one without seconds.
void check_run_checkpoint(const SafetensorsFile& checkpoint, const std::string& where);

}  // namespace espalier::experiments
