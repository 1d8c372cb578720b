// SPDX-License-Identifier: Apache-2.0
/// All combinations of lists of values: `--sparsity 0.5,0.8 --seed 1..3` are six trainings.
#pragma once

#include <string>
#include <vector>

#include <espalier/core/options/option.h>

namespace espalier::experiments {

/// One combination.
struct GridPoint {
  OptionTexts texts;   ///< one value of every option that was given
  OptionTexts varied;  ///< of these, those that have several values in the grid
};

/// The values that a text lists for an option: `a,b,c`; of whole numbers also `1..3`. Texts that
/// may hold commas themselves (all but names of networks, data sets, methods, patterns and the
/// like) are divided by `;`. Throws ValueError naming the option for an empty value and a range
/// that falls.
std::vector<std::string> listed_values(const Option& option, const std::string& text);

/// Every combination of the values of `given`, the last option fastest; `options` declares them.
/// Throws ValueError as listed_values, and for more than 10,000 combinations.
std::vector<GridPoint> grid_of(const std::vector<Option>& options, const OptionTexts& given);

/// A name of a folder for a combination: `seed-1_sparsity-0.8`; `run` where nothing varies.
std::string grid_name(const OptionTexts& varied);

}  // namespace espalier::experiments
