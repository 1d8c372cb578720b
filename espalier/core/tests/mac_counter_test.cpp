// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <espalier/core/mac_counter.h>

namespace espalier {
namespace {

TEST(MacCounter, NestedCountersBothSeeAReport) {
  count_macs(1);  // nobody counts
  MacCounter outer;
  count_macs(10);
  {
    MacCounter inner;
    count_macs(5);
    EXPECT_EQ(inner.macs(), 5);
  }
  count_macs(100);
  EXPECT_EQ(outer.macs(), 115);
}

}  // namespace
}  // namespace espalier
