// SPDX-License-Identifier: Apache-2.0
// The pages of docs/ against what they speak of: the registry, the programs, the files they link.
#include <fstream>
#include <regex>
#include <set>

#include "command_line.h"

namespace espalier::experiments {
namespace {

using espalier::testing::slurp;

std::filesystem::path source_folder() {
  return ESPALIER_SOURCE_DIR;
}

std::vector<std::filesystem::path> pages() {
  std::set<std::filesystem::path> found;
  for (const auto& entry : std::filesystem::directory_iterator(source_folder() / "docs")) {
    if (entry.path().extension() == ".md") found.insert(entry.path());
  }
  return {found.begin(), found.end()};
}

/// A text without its white space, so that line breaks don't matter.
std::string squeezed(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (std::isspace(static_cast<unsigned char>(c)) == 0) out += c;
  }
  return out;
}

/// The program of a chapter: `04_training.md` has examples/course/04_training.cpp, if it exists.
std::filesystem::path program_of(const std::filesystem::path& page) {
  const auto lesson =
      source_folder() / "examples" / "course" / page.filename().replace_extension(".cpp");
  if (std::filesystem::exists(lesson)) return lesson;
  return source_folder() / "examples" / "skeletons" / "method.cpp";
}

TEST(Docs, TheTaxonomyPageIsWhatTheRegistryGives) {
  const Outcome outcome = espalier_command({"methods", "--markdown"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_TRUE(slurp(source_folder() / "docs" / "taxonomy.md") == outcome.out)
      << "docs/taxonomy.md is not what the registry gives; write it anew with\n"
         "    build/release/bin/espalier methods --markdown > docs/taxonomy.md";
}

TEST(Docs, EveryPieceOfCodeIsInItsProgram) {
  const std::string fence = "```cpp\n";
  for (const auto& page : pages()) {
    const std::string text = slurp(page);
    const std::string program = squeezed(slurp(program_of(page)));
    for (size_t at = text.find(fence); at != std::string::npos; at = text.find(fence, at + 1)) {
      const size_t begin = at + fence.size();
      const size_t end = text.find("```", begin);
      ASSERT_NE(end, std::string::npos) << page << " has an open fence";
      const std::string piece = text.substr(begin, end - begin);
      EXPECT_NE(program.find(squeezed(piece)), std::string::npos)
          << page << " shows what " << program_of(page) << " does not have:\n"
          << piece;
    }
  }
}

TEST(Docs, EveryLinkLeadsSomewhere) {
  const std::regex link(R"(\]\(([^)#\s]+)(#[^)]*)?\))");
  for (const auto& page : pages()) {
    const std::string text = slurp(page);
    for (auto it = std::sregex_iterator(text.begin(), text.end(), link);
         it != std::sregex_iterator();
         ++it) {
      const std::string target = (*it)[1];
      if (target.starts_with("https://")) continue;
      EXPECT_TRUE(std::filesystem::exists(page.parent_path() / target)) << page << ": " << target;
    }
  }
}

TEST(Docs, EveryProgramOfTheCourseHasItsChapterInTheIndex) {
  const std::string index = slurp(source_folder() / "docs" / "README.md");
  int lessons = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(source_folder() / "examples" / "course")) {
    if (entry.path().extension() != ".cpp") continue;
    const std::string name = entry.path().stem().string();
    EXPECT_TRUE(std::filesystem::exists(source_folder() / "docs" / (name + ".md"))) << name;
    EXPECT_NE(index.find("](" + name + ".md)"), std::string::npos) << name;
    EXPECT_NE(index.find("`course_" + name + "`"), std::string::npos) << name;
    ++lessons;
  }
  EXPECT_GE(lessons, 8);
}

TEST(Docs, MarkdownIsForTheWholeListAlone) {
  EXPECT_EQ(espalier_command({"methods", "--markdown", "--json"}).code, 2);
  EXPECT_EQ(espalier_command({"methods", "gmp", "--markdown"}).code, 2);
}

}  // namespace
}  // namespace espalier::experiments
