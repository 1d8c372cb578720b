// SPDX-License-Identifier: Apache-2.0
/// The numbers of a chart as a table: for those who hear the page, use it by keyboard, or want the
/// values.
#pragma once

#include <string>

#include <espalier/experiments/report/chart.h>
#include <espalier/experiments/report/html_table.h>

namespace espalier::experiments::report {

/// A row a point: its series, x and y with one standard deviation. Of long lines every so many
/// points, first and last included; the caption says so. `id`: unique in the page.
HtmlTable table_of(const std::string& id, const Chart& chart);
/// A row a point: its row and series, and its value with one standard deviation.
HtmlTable table_of(const std::string& id, const RowChart& chart);

}  // namespace espalier::experiments::report
