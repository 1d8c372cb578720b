// SPDX-License-Identifier: Apache-2.0
// Lines as wide as the terminal, and colours where they are wanted.
#include <espalier/experiments/console.h>

#include <cstdlib>
#include <sstream>

#include <gtest/gtest.h>

namespace espalier::experiments {
namespace {

class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) {
    if (const char* was = std::getenv(name)) was_ = was;
    value == nullptr ? ::unsetenv(name) : ::setenv(name, value, 1);
  }
  ~Variable() { was_.empty() ? ::unsetenv(name_) : ::setenv(name_, was_.c_str(), 1); }

 private:
  const char* name_;
  std::string was_;
};

TEST(Fitted, LeavesOutTheMostDispensableFirst) {
  const std::vector<LinePart> parts = {{"epoch 1/2"}, {"loss 0.5", 2}, {"accuracy 0.9", 3}};
  EXPECT_EQ(fitted(parts, 80), "epoch 1/2  loss 0.5  accuracy 0.9");
  EXPECT_EQ(fitted(parts, 33), "epoch 1/2  loss 0.5  accuracy 0.9");
  EXPECT_EQ(fitted(parts, 32), "epoch 1/2  loss 0.5");
  EXPECT_EQ(fitted(parts, 18), "epoch 1/2");
  EXPECT_EQ(fitted(parts, 5), "epoch");
  EXPECT_EQ(fitted({}, 5), "");
}

TEST(Fitted, CountsCharactersAndNoBytes) {
  EXPECT_EQ(fitted({{"äöü"}, {"é", 1}}, 6), "äöü  é");
  EXPECT_EQ(fitted({{"äöü"}}, 2), "äö");
}

std::string shown(int columns, bool colour) {
  std::ostringstream out, err;
  Console console{.out = out, .err = err, .terminal = true, .colour = colour, .columns = columns};
  {
    Progress progress(console, 1000);
    progress.update(250, {{"epoch 1/4"}, {"loss 0.5000", 2}, {"accuracy 0.9000", 3}});
  }
  return err.str();
}

TEST(Progress, IsNoWiderThanTheTerminal) {
  for (const int columns : {20, 50, 80, 120}) {
    const std::string text = shown(columns, false);
    const std::string line = text.substr(4, text.rfind("\r") - 4);  // between two erasures
    EXPECT_LT(line.size(), static_cast<size_t>(columns)) << line;
    EXPECT_TRUE(line.starts_with(" 25%  ")) << line;
    EXPECT_NE(line.find("epoch 1/4"), std::string::npos) << line;
    EXPECT_EQ(line.find("accuracy") != std::string::npos, columns >= 80) << line;
    EXPECT_EQ(line.find("[=") != std::string::npos, columns >= 120) << line;
  }
}

TEST(Progress, IsColouredWhereThatIsWanted) {
  EXPECT_NE(shown(80, true).find("\x1b[32m"), std::string::npos);
  EXPECT_EQ(shown(80, false).find("\x1b[32m"), std::string::npos);
}

TEST(Progress, LinesAreWholeWhereNobodyWatches) {
  std::ostringstream out, err;
  Console console{.out = out, .err = err, .columns = 10};
  Progress(console, 2).line(std::vector<LinePart>{{"epoch 1/2"}, {"loss 0.5", 2}});
  EXPECT_EQ(err.str(), "epoch 1/2  loss 0.5\n");
}

TEST(Colour, IsRefusedByTheEnvironment) {
  const Variable terminal("TERM", "xterm");
  {
    const Variable none("NO_COLOR", nullptr);
    EXPECT_TRUE(wants_colour());
  }
  {
    const Variable set("NO_COLOR", "1");
    EXPECT_FALSE(wants_colour());
  }
  const Variable none("NO_COLOR", nullptr);
  const Variable dumb("TERM", "dumb");
  EXPECT_FALSE(wants_colour());
}

}  // namespace
}  // namespace espalier::experiments
