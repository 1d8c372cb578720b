// SPDX-License-Identifier: Apache-2.0
/// Results against the sentences of the survey: differences of accuracy, paired by seed, and how
/// sure they are.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <espalier/core/error.h>
#include <espalier/experiments/comparisons/runner.h>
#include <espalier/experiments/comparisons/statistics.h>

namespace espalier::experiments::comparisons {

/// Whether the figures speak for a sentence. Equal: both sides are the same to rounding. TooShort:
/// the trainings are there to see that they run, and say nothing.
enum class Verdict : uint8_t { Agrees, Disagrees, Equal, NoData, TooShort };
/// `agrees`, `disagrees`, `no difference`, `no data`, `too short to tell`.
std::string name(Verdict verdict);

/// One side's accuracy minus the other's, in one group of equal settings.
struct Difference {
  std::string group;  ///< `vgg16 cifar10 snip 0.9`
  Summary accuracy;   ///< over seeds, a fraction
};

/// What the runs say about one claim.
struct Finding {
  Claim claim;
  std::vector<Difference> groups;  ///< in the order of the rows
  /// Over all groups: for each seed that every group has, the mean of the groups' differences; then
  /// over seeds. No count: there is no such seed.
  Summary overall;
  Verdict verdict = Verdict::NoData;
  Summary decisive;            ///< what decided: `overall`, or the group that decides of all
  std::string decisive_group;  ///< its name; empty: `overall`
  /// `agrees (5.3 standard errors, 3 seeds)`; below two standard errors with `not sure`. Where one
  /// group decides: which, and of how many.
  std::string text() const;
};

/// Holds the finished, compared rows against a claim. The sides of a group are means over the rows
/// of one seed; a seed counts when both sides have rows of it, and none of them failed.
Finding judge(const Claim& claim, const std::vector<RunRow>& rows);

/// Differences below so many standard errors are called not sure.
inline constexpr double kSureRatio = 2.0;
/// True where the difference is at least so large.
bool is_sure(const Summary& summary);
/// `2.3 standard errors, 3 seeds`, with `not sure` where that is due.
std::string sureness(const Summary& summary);

}  // namespace espalier::experiments::comparisons
