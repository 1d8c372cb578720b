// SPDX-License-Identifier: Apache-2.0
/// The style sheet and the script of the page. The page is whole without the script: it sorts
/// tables, opens what is folded before printing, and in a live page fetches what changed.
#pragma once

namespace espalier::experiments::report {

/// CSS besides that of the charts.
extern const char* const kPageStyle;
/// JavaScript; no library, nothing is loaded.
extern const char* const kPageScript;

}  // namespace espalier::experiments::report
