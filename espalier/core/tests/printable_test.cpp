// SPDX-License-Identifier: Apache-2.0
#include <espalier/core/detail/printable.h>

#include <gtest/gtest.h>

namespace espalier {
namespace {

using detail::excerpt;
using detail::is_utf8;
using detail::printable;

TEST(Printable, KeepsWhatPeopleWrite) {
  for (const char* text : {"", "plain", "two\nlines\tand a tab", "Größe 猫 🐈 é"}) {
    EXPECT_EQ(printable(text), text);
  }
}

TEST(Printable, SpellsOutWhatCommandsATerminal) {
  EXPECT_EQ(printable("a\x1b[31mred"), "a\\u001b[31mred");
  EXPECT_EQ(printable("a\rb\x07\x7f"), "a\\u000db\\u0007\\u007f");
  EXPECT_EQ(printable(std::string("a\0b", 3)), "a\\u0000b");
  EXPECT_EQ(printable("\xc2\x9b"
                      "31m"),
            "\\u009b31m");  // CSI in one character
  EXPECT_EQ(printable("gpj.\xe2\x80\xae"
                      "exe"),
            "gpj.\\u202eexe");  // written from the right
}

TEST(PrintableLine, SpellsOutLineEndsToo) {
  EXPECT_EQ(detail::printable_line("a\nb\tc\x1b"), "a\\u000ab\\u0009c\\u001b");
}

TEST(Printable, SpellsOutBytesThatAreNoUtf8) {
  EXPECT_EQ(printable("a\xff"
                      "b"),
            "a\\xffb");
  EXPECT_EQ(printable("\xc0\xaf"), "\\xc0\\xaf");           // overlong
  EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // a surrogate
  EXPECT_EQ(printable("\xe7\x8c"), "\\xe7\\x8c");           // cut off
}

TEST(IsUtf8, AgreesWithTheStandard) {
  EXPECT_TRUE(is_utf8("é猫🐈"));
  EXPECT_TRUE(is_utf8("\xf4\x8f\xbf\xbf"));   // U+10FFFF
  EXPECT_FALSE(is_utf8("\xf4\x90\x80\x80"));  // one more
  EXPECT_FALSE(is_utf8("\xed\xa0\x80"));
  EXPECT_FALSE(is_utf8("\xe0\x80\xaf"));
  EXPECT_FALSE(is_utf8("\x80"));
}

TEST(SomeOf, CountsWhatItLeavesOut) {
  EXPECT_EQ(detail::some_of({"a", "b", "c"}), "a, b, c");
  EXPECT_EQ(detail::some_of({"a", "b", "c", "d", "e"}), "a, b, c and 2 more");
  EXPECT_EQ(detail::some_of({}), "");
}

TEST(Excerpt, IsOneShortLine) {
  EXPECT_EQ(excerpt("a\nb"), "a b");
  EXPECT_EQ(excerpt(std::string(1000, 'x'), 5), "xxxxx.. (1000 bytes)");
  EXPECT_EQ(excerpt("éé", 3), "é.. (4 bytes)");  // no half character
}

}  // namespace
}  // namespace espalier
