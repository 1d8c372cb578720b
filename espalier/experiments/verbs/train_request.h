// SPDX-License-Identifier: Apache-2.0
/// The options of `train`, for every verb that trains.
#pragma once

#include <espalier/experiments/run/training.h>
#include <espalier/experiments/settings/given_options.h>
#include <espalier/experiments/settings/verb.h>

namespace espalier::experiments::verbs {

/// Declares all options of `train`; those of single methods are not listed in the help but with
/// their method, in a footer.
void declare_training(const Verb& verb, GivenOptions& given);

/// What was asked for. Of `given`, `by_flag` came from flags: what a file set and a flag makes idle
/// is left out. Throws ValueError for values that are none.
TrainRequest training_request(const OptionTexts& given, const OptionTexts& by_flag);

}  // namespace espalier::experiments::verbs
