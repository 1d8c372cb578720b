// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstdio>

#include <gtest/gtest.h>

#include <espalier/core/error.h>
#include <espalier/core/tests/comma_locale.h>

namespace espalier {
namespace {

constexpr double kNumbers[] = {
    0.0, -0.0, 0.5, 1.0 / 3.0, -2.5e-300, 1e9, 1234567890.0, 1e22, INFINITY};

TEST(Cat, WritesNumbersWithNineDigits) {
  for (const double number : kNumbers) {
    char expected[32];
    std::snprintf(expected, sizeof expected, "%.9g", number);
    EXPECT_EQ(cat(number), expected);
  }
}

TEST(Cat, WritesTheSameUnderALocaleWithADecimalComma) {
  std::string usual;
  for (const double number : kNumbers) usual += cat(number, ' ');
  const testing::CommaLocale comma;
  if (!comma.is_set()) GTEST_SKIP() << "no locale de_DE.UTF-8 (Debian: locales)";
  std::string now;
  for (const double number : kNumbers) now += cat(number, ' ');
  EXPECT_EQ(now, usual);
}

}  // namespace
}  // namespace espalier
