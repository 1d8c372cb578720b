// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/comparisons/findings.h>

#include <algorithm>
#include <cmath>
#include <map>

#include <fmt/format.h>

namespace espalier::experiments::comparisons {
namespace {

// The two sides of one seed in one group.
struct Pair {
  std::vector<double> higher;
  std::vector<double> lower;
  bool failed = false;  ///< a row of it did: without that a side would mean something else
};

struct Group {
  std::string name;
  std::map<int64_t, Pair> seeds;
};

bool contains(const std::vector<std::string>& list, const std::string& text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

std::string group_name(const Claim& claim, const RunRow& row) {
  std::string out;
  for (const std::string& column : claim.within) {
    const std::string value = row.column(column);
    if (!value.empty()) out += (out.empty() ? "" : " ") + value;
  }
  return out;
}

std::vector<Group> group_rows(const Claim& claim, const std::vector<RunRow>& rows) {
  std::vector<Group> groups;
  for (const RunRow& row : rows) {
    if (!row.compared) continue;
    const std::string side = row.column(claim.column);
    const bool higher = contains(claim.higher, side);
    if (!higher && !contains(claim.lower, side)) continue;
    const std::string name = group_name(claim, row);
    auto group = std::find_if(
        groups.begin(), groups.end(), [&](const Group& one) { return one.name == name; });
    if (group == groups.end()) {
      groups.push_back({.name = name, .seeds = {}});
      group = groups.end() - 1;
    }
    Pair& pair = group->seeds[row.seed];
    if (row.finished()) (higher ? pair.higher : pair.lower).push_back(row.accuracy);
    pair.failed |= !row.finished();
  }
  return groups;
}

std::map<int64_t, double> differences(const Group& group) {
  std::map<int64_t, double> out;
  for (const auto& [seed, pair] : group.seeds) {
    if (pair.failed || pair.higher.empty() || pair.lower.empty()) continue;
    out[seed] = summarize(pair.higher).mean - summarize(pair.lower).mean;
  }
  return out;
}

Summary summarize_values(const std::map<int64_t, double>& by_seed) {
  std::vector<double> values;
  for (const auto& [seed, value] : by_seed) values.push_back(value);
  return summarize(values);
}

Summary over_all(const std::vector<std::map<int64_t, double>>& groups) {
  std::vector<double> values;
  for (const auto& [seed, unused] : groups.front()) {
    double sum = 0.0;
    size_t have = 0;
    for (const auto& group : groups) {
      const auto it = group.find(seed);
      if (it == group.end()) break;
      sum += it->second;
      ++have;
    }
    if (have == groups.size()) values.push_back(sum / static_cast<double>(have));
  }
  return values.empty() ? Summary{} : summarize(values);
}

// What decides: the mean over all groups; of whether one side is everywhere higher, the lowest
// group; of whether it can be, the highest. Groups are ranked by their ratios, or by their means
// where one has no ratio.
void decide(Finding& finding) {
  if (finding.claim.kind == Claim::Kind::Higher) {
    finding.decisive = finding.overall;
    return;
  }
  const std::vector<Difference>& groups = finding.groups;
  const bool ratios = std::ranges::all_of(
      groups, [](const Difference& one) { return one.accuracy.ratio().has_value(); });
  const auto rank = [&](const Difference& one) {
    return ratios ? *one.accuracy.ratio() : one.accuracy.mean;
  };
  const auto decisive = finding.claim.kind == Claim::Kind::CanBeHigher
                            ? std::ranges::max_element(groups, {}, rank)
                            : std::ranges::min_element(groups, {}, rank);
  finding.decisive = decisive->accuracy;
  finding.decisive_group = decisive->group;
}

}  // namespace

std::string name(Verdict verdict) {
  switch (verdict) {
    case Verdict::Agrees:
      return "agrees";
    case Verdict::Disagrees:
      return "disagrees";
    case Verdict::Equal:
      return "no difference";
    case Verdict::NoData:
      return "no data";
    case Verdict::TooShort:
      return "too short to tell";
  }
  throw ValueError("name: unknown verdict");
}

bool is_sure(const Summary& summary) {
  const std::optional<double> ratio = summary.ratio();
  return ratio && std::abs(*ratio) >= kSureRatio;
}

std::string sureness(const Summary& summary) {
  const std::optional<double> ratio = summary.ratio();
  if (!ratio) return "not sure: a single seed says nothing of chance";
  const std::string figures =
      std::isinf(*ratio)
          ? fmt::format("the same in all {} seeds", summary.count)
          : fmt::format("{:.1f} standard errors, {} seeds", std::abs(*ratio), summary.count);
  return is_sure(summary) ? figures : "not sure: " + figures;
}

std::string Finding::text() const {
  std::string word = name(verdict);
  if (verdict == Verdict::NoData || verdict == Verdict::TooShort) return word;
  if (decisive_group.empty()) return word + " (" + sureness(decisive) + ")";
  return fmt::format("{} ({}, the {} of {}: {})",
                     word,
                     decisive_group,
                     claim.kind == Claim::Kind::CanBeHigher ? "highest" : "lowest",
                     groups.size(),
                     sureness(decisive));
}

Finding judge(const Claim& claim, const std::vector<RunRow>& rows) {
  Finding finding;
  finding.claim = claim;
  std::vector<std::map<int64_t, double>> by_seed;
  for (const Group& group : group_rows(claim, rows)) {
    auto values = differences(group);
    if (values.empty()) continue;
    finding.groups.push_back({.group = group.name, .accuracy = summarize_values(values)});
    by_seed.push_back(std::move(values));
  }
  if (finding.groups.empty()) return finding;
  finding.overall = over_all(by_seed);
  decide(finding);
  if (finding.decisive.count == 0) return finding;
  constexpr double kRounding = 1e-12;
  if (std::abs(finding.decisive.mean) < kRounding && claim.kind != Claim::Kind::NotAlwaysHigher) {
    finding.verdict = Verdict::Equal;
    return finding;
  }
  const bool higher = finding.decisive.mean > kRounding;
  const bool speaks_for = claim.kind == Claim::Kind::NotAlwaysHigher ? !higher : higher;
  finding.verdict = speaks_for ? Verdict::Agrees : Verdict::Disagrees;
  return finding;
}

}  // namespace espalier::experiments::comparisons
