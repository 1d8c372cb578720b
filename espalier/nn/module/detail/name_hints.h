// SPDX-License-Identifier: Apache-2.0
/// What the names of foreign weights tell about the program that saved them. Not a public
/// interface.
#pragma once

#include <set>
#include <string>

namespace espalier::nn::detail {

/// A sentence for the end of an error about names `given` where `known` were expected: names that
/// would fit without what torch.nn.DataParallel, torch.compile or an outer module put in front of
/// them, or that torch.nn.utils.prune split in two. Empty when nothing of that kind is seen.
std::string hint_of_names(const std::set<std::string>& given, const std::set<std::string>& known);

}  // namespace espalier::nn::detail
