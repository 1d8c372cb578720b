// SPDX-License-Identifier: Apache-2.0
/// The recorded runs (experiments/results/*.csv), which are in the program: CMake writes them into
/// a source file. What is quoted of them are means over seeds, as the page of the same name has
/// them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace espalier::experiments::advise {

/// The text of `results/NAME.csv`, for `methods`, `patterns` and `one_shot_iterative`. Throws
/// ValueError for another name.
std::string_view recorded_csv(std::string_view name);

/// Means over the seeds of one row of a page.
struct Quote {
  std::string page = {};     ///< `methods.md`, beside the csv
  std::string model = {};    ///< of the runs
  std::string data = {};     ///< of the runs
  std::string method = {};   ///< its name
  std::string variant = {};  ///< as in the page
  double asked = 0.0;        ///< the method's own sparsity
  double removed = 0.0;      ///< share of prunable weights that went
  double accuracy = 0.0;     ///< percent of the test split
  double dense = 0.0;        ///< percent, of the dense network
  int seeds = 0;
  std::optional<double> macs = {};     ///< share of the dense network's that kernels execute
  std::optional<double> batches = {};  ///< times as fast as the dense network, 128 images at once
  std::optional<double> one = {};      ///< times as fast, one image at a time
};

/// The row in words, without its page: `vgg16, 90.0 % of the weights removed: 65.45 % right ..`.
std::string words_of(const Quote& quote);

/// What is recorded of a method with a pattern, on `model` where that is recorded, else on all: of
/// its default pattern the rows of `methods`, of another one those of `patterns`; and those of
/// `one_shot_iterative`, whose pattern is `unstructured`. Of several sparsities those nearest to
/// `removed`. Nothing of runs that were taken back.
std::vector<Quote> quotes_of(const std::string& method,
                             const std::string& pattern,
                             bool by_design,
                             const std::string& model,
                             double removed);

/// Why nothing is quoted of a method's runs in methods.csv; empty if they stand.
std::string taken_back(const std::string& method);

/// The most that a method lost in `methods` or `patterns`, in points below the dense network;
/// negative where it gained. Nothing without a row.
std::optional<double> worst_loss(const std::vector<Quote>& quotes);
/// The mean of the same over rows. Nothing without a row.
std::optional<double> mean_gain(const std::vector<Quote>& quotes);

}  // namespace espalier::experiments::advise
