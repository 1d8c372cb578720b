// SPDX-License-Identifier: Apache-2.0
/// What can be done next with what a verb has made, as commands to copy.
#pragma once

#include <string>
#include <vector>

#include <espalier/experiments/settings/train_settings.h>

namespace espalier::experiments::verbs {

/// After a training whose run lies in `folder`: evaluate it, time it, cut out its channels where
/// some are gone, report it. `program` is how the command was called.
std::vector<std::string> commands_after_training(const std::string& program,
                                                 const TrainSettings& settings,
                                                 const std::string& folder);

/// `next:` and a line each.
std::string commands_text(const std::vector<std::string>& commands);

}  // namespace espalier::experiments::verbs
