// SPDX-License-Identifier: Apache-2.0
/// What `shrink` and `widen` print of a network at other sizes.
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

#include <espalier/prune/structure/resize_report.h>

namespace espalier::experiments::verbs {

/// `params`, `channels`, `layers`, .., with what they were before.
nlohmann::ordered_json resize_json(const prune::ResizeReport& report);
/// The same as a table and lines, with the notes.
std::string resize_text(const prune::ResizeReport& report);
/// The last lines: `macs_dense` of `counts` and what it was before, and where the network went.
std::string macs_text(const nlohmann::ordered_json& counts, const std::string& out);

}  // namespace espalier::experiments::verbs
