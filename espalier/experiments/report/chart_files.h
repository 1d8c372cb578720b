// SPDX-License-Identifier: Apache-2.0
/// The charts of a report as files, for pages that show pictures.
#pragma once

#include <filesystem>
#include <vector>

#include <espalier/experiments/report/report.h>

namespace espalier::experiments::report {

/// What a chart is written as.
enum class ChartFormat : unsigned char { Svg, Png };

/// Writes every chart of a report to `folder`, named by what it shows, and returns the files. PNG
/// is made by the program `rsvg-convert` (Debian: librsvg2-bin), twice as large as on the page.
/// Throws IoError, also when that program is missing or fails.
std::vector<std::filesystem::path> write_charts(const Report& report,
                                                const std::filesystem::path& folder,
                                                ChartFormat format);

}  // namespace espalier::experiments::report
