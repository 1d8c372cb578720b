// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/plan/steps/copy_runs.h>

namespace espalier::nn::plan {

std::vector<CopyRun> runs_of(const std::vector<Source>& sources) {
  std::vector<CopyRun> runs;
  for (size_t i = 0; i < sources.size(); ++i) {
    const auto to = static_cast<int64_t>(i);
    const auto [input, from] = sources[i];
    if (input < 0) continue;
    if (!runs.empty()) {
      CopyRun& run = runs.back();
      const bool follows = run.input == input && run.to + run.count == to;
      if (follows && run.count == 1) run.step = from - run.from;
      if (follows && run.from + run.count * run.step == from) {
        ++run.count;
        continue;
      }
    }
    runs.push_back({input, from, to, 1, 1});
  }
  return runs;
}

std::vector<Source> sources_of(const std::vector<CopyRun>& runs, int64_t size) {
  std::vector<Source> sources(static_cast<size_t>(size));
  for (const CopyRun& run : runs) {
    for (int64_t i = 0; i < run.count; ++i) {
      sources[static_cast<size_t>(run.to + i)] = {run.input, run.from + i * run.step};
    }
  }
  return sources;
}

}  // namespace espalier::nn::plan
