// SPDX-License-Identifier: Apache-2.0
/// The style sheet and the script of the page. The page is whole without the script: it sorts
/// tables, opens what is folded before printing, and in a live page fetches what changed.
#pragma once

#include <string>

namespace espalier::experiments::report {

/// CSS besides that of the charts.
extern const char* const kPageStyle;
/// All of a page's style: its colours on light and on dark paper, its own and that of the charts.
std::string style_sheet();
/// JavaScript; no library, nothing is loaded.
extern const char* const kPageScript;

}  // namespace espalier::experiments::report
