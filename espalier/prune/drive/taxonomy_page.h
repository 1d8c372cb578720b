// SPDX-License-Identifier: Apache-2.0
/// The registry as a page for readers. What the page says comes from the registry alone.
#pragma once

#include <string>

namespace espalier::prune {

/// docs/taxonomy.md: a table of when x speed-up, and every method with its place, paper, idea,
/// formula, schedule, patterns and options. Markdown, as GitHub reads it.
std::string methods_markdown();

}  // namespace espalier::prune
