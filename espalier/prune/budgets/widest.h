// SPDX-License-Identifier: Apache-2.0
/// How much wider a network may get within a budget.
#pragma once

#include <espalier/prune/budgets/budget.h>

namespace espalier::prune {

/// The largest factor by which all widths of `model` can be multiplied (`widths_times`) such that
/// the network costs at most `cost`, exactly: any larger factor with other widths costs more. The
/// cost grows with the factor, so halving finds it. `model` is not changed.
///
/// input   one sample, for tracing (see trace_channels).
/// budget  an exact one.
///
/// Throws ValueError when the network costs more as it is, when no channel of it can be copied, and
/// for a budget that is measured.
/// Source: Gordon et al., arXiv 1711.06798, section 3 (MorphNet's expansion).
double widest_factor(nn::Module& model, const Variable& input, Budget& budget, double cost);

}  // namespace espalier::prune
