// SPDX-License-Identifier: Apache-2.0
#include <limits>
#include <type_traits>

#include <gtest/gtest.h>

#include <espalier/prune/sparsity.h>

namespace espalier::prune {
namespace {

static_assert(!std::is_convertible_v<double, Sparsity>);
static_assert(!std::is_convertible_v<Sparsity, Density>);
static_assert(!std::is_convertible_v<Density, Sparsity>);
static_assert(!std::is_convertible_v<Sparsity, double>);

TEST(Sparsity, IsTheComplementOfDensity) {
  EXPECT_DOUBLE_EQ(Sparsity(0.75).density().value(), 0.25);
  EXPECT_DOUBLE_EQ(Density(0.75).sparsity().value(), 0.25);
}

TEST(Sparsity, AcceptsBothEnds) {
  EXPECT_EQ(Sparsity(0.0).density(), Density(1.0));
  EXPECT_EQ(Sparsity(1.0).density(), Density(0.0));
}

TEST(Sparsity, RefusesPercentNegativeAndNan) {
  EXPECT_THROW(Sparsity(90.0), ValueError);
  EXPECT_THROW(Sparsity(-0.1), ValueError);
  EXPECT_THROW(Sparsity(std::numeric_limits<double>::quiet_NaN()), ValueError);
  EXPECT_THROW(Density(1.5), ValueError);
}

}  // namespace
}  // namespace espalier::prune
