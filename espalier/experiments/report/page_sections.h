// SPDX-License-Identifier: Apache-2.0
/// Sections of the page that say where its numbers come from, and the HTML that all sections share.
#pragma once

#include <string>

#include <espalier/experiments/report/report.h>

namespace espalier::experiments::report {

/// Content that opens with a click; `id` becomes one without spaces, `summary` is escaped.
std::string details(std::string id,
                    const std::string& summary,
                    const std::string& content,
                    bool open = false);
/// A paragraph in the quiet colour.
std::string soft(const std::string& text);

/// The commands that make the runs again.
std::string commands_section(const Report& report);
/// Settings that all runs share, and those in which they differ.
std::string settings_section(const Report& report);
/// The machines that the runs were made on.
std::string machine_section(const Report& report);

}  // namespace espalier::experiments::report
