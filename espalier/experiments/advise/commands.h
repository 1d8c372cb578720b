// SPDX-License-Identifier: Apache-2.0
/// What to type for a method under answers: complete commands, in order.
#pragma once

#include <string>
#include <vector>

#include <espalier/experiments/advise/candidate.h>

namespace espalier::experiments::advise {

/// One command.
struct Step {
  std::string why;                     ///< a few words
  std::vector<std::string> arguments;  ///< after `espalier`
};

/// Dense training where there may be no trained network, pruning, cutting and packing where they
/// apply, and figures of what came out.
std::vector<Step> steps_for(const Candidate& candidate, const Question& question);

/// `espalier train --model resnet20 ..`, an argument that a shell would take apart in quotes.
std::string command_line(const Step& step);

}  // namespace espalier::experiments::advise
