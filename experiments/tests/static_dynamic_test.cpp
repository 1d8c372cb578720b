// SPDX-License-Identifier: Apache-2.0
// The comparison of static and dynamic pruning, at the size of a test.
#include <algorithm>
#include <map>
#include <sstream>

#include <espalier/experiments/failure.h>

#include "command_line.h"

namespace espalier::experiments {
namespace {

using espalier::testing::slurp;
using espalier::testing::TemporaryFolder;

TEST(ExperimentVerb, StaticAndDynamicPruningAreHeldAgainstEachOtherAtEqualCost) {
  const TemporaryFolder folder;
  const Outcome outcome = espalier_command({"experiment",
                                            "run",
                                            "static-dynamic",
                                            "--preset",
                                            "smoke",
                                            "--threads",
                                            "1",
                                            "--out",
                                            folder.path().string()});
  ASSERT_EQ(outcome.code, kExitOk) << outcome.err;
  const auto results = folder / "experiments/static-dynamic-smoke";
  std::istringstream table(slurp(results / "runs.csv"));
  std::map<std::string, double> share;  // of the dense MACs, by method
  std::vector<std::string> head;
  for (std::string line; std::getline(table, line);) {
    std::vector<std::string> fields;
    std::istringstream in(line);
    for (std::string one; std::getline(in, one, ',');) fields.push_back(one);
    if (head.empty()) {
      head = fields;
      continue;
    }
    const auto field = [&](const char* name) {
      return fields.at(
          static_cast<size_t>(std::find(head.begin(), head.end(), name) - head.begin()));
    };
    const bool dynamic = field("method") == "fbs" || field("method") == "cgnet";
    // Timed as it is used: the static method's channels are gone, gates see images of the test
    // split.
    EXPECT_NEAR(std::stod(field("speed_macs_executed")),
                std::stod(field(dynamic ? "macs_executed" : "macs_effective")),
                0.02 * std::stod(field("macs_dense")))
        << field("method");
    share[field("method")] = std::stod(field(dynamic ? "macs_executed" : "macs_effective")) /
                             std::stod(field("macs_dense"));
  }
  ASSERT_EQ(share.size(), 4u);
  EXPECT_EQ(share.at("dense"), 1.0);
  EXPECT_NEAR(share.at("l1-filters"), 0.5, 0.1);
  for (const char* method : {"fbs", "cgnet"}) {
    EXPECT_LT(share.at(method), 0.9) << method;
    EXPECT_GT(share.at(method), 0.2) << method;
  }
  const std::string page = slurp(results / "README.md");
  EXPECT_NE(page.find("| fbs | 50 % of MACs | "), std::string::npos) << page;
  EXPECT_NE(page.find("| cgnet | 50 % of MACs | "), std::string::npos) << page;
}

}  // namespace
}  // namespace espalier::experiments
