// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/command/plain_stream.h>

#include <sstream>

#include <gtest/gtest.h>

#include <espalier/experiments/console.h>
#include <espalier/experiments/figures.h>

namespace espalier::experiments {
namespace {

TEST(PlainStream, SpellsOutControlsWhereverTheyComeFrom) {
  std::ostringstream to;
  {
    PlainStream out(to);
    out << "name \x1b[2J" << '\r' << 7 << std::endl << "tab\t";
  }
  EXPECT_EQ(to.str(), "name \\u001b[2J\\u000d7\ntab\t");
}

TEST(PlainStream, KeepsCharactersThatComeInPieces) {
  std::ostringstream to;
  {
    PlainStream out(to);
    for (const char c : std::string("a猫\xc2\x9b"
                                    "é\xe7"))
      out << c;  // at last a cut one
  }
  EXPECT_EQ(to.str(), "a猫\\u009bé\\xe7");
}

TEST(PlainStream, TellsThatItsTargetCantBeWritten) {
  std::ostringstream to;
  to.setstate(std::ios::badbit);
  PlainStream out(to);
  out << "x" << std::flush;
  EXPECT_FALSE(out.good());
}

TEST(Progress, StillRewritesItsLine) {
  std::ostringstream to;
  PlainStream err(to);
  Console console{.out = err, .err = err, .terminal = true, .screen = &to};
  { Progress(console, 10).update(5, {{"name\x1b[2J"}}); }
  EXPECT_TRUE(to.str().starts_with("\r\x1b[K 50%")) << to.str();
  EXPECT_NE(to.str().find("name\\u001b[2J"), std::string::npos) << to.str();
}

TEST(TextTable, KeepsNamesInTheirCells) {
  EXPECT_EQ(text_table({{"class", "n"}, {"a\nb\x1b", "1"}}),
            "class           n\na\\u000ab\\u001b  1\n");
}

}  // namespace
}  // namespace espalier::experiments
