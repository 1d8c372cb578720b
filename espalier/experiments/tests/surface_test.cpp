// SPDX-License-Identifier: Apache-2.0
// Completions and the man page are made of what verbs declare.
#include <cstdlib>

#include <espalier/experiments/failure.h>
#include <espalier/prune/drive/registry.h>

#include "command_line.h"

namespace espalier::experiments {
namespace {

using espalier::testing::slurp;
using espalier::testing::TemporaryFolder;

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

bool is_installed(const char* program) {
  return std::system((std::string("command -v ") + program + " > /dev/null 2>&1").c_str()) == 0;
}

TEST(Completion, KnowsVerbsOptionsAndNames) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const Outcome script = espalier_command({"completion", shell});
    EXPECT_EQ(script.code, 0);
    for (const char* part : {"sensitivity", "label-smoothing", "rigl", "resnet20", "cifar10"}) {
      EXPECT_TRUE(has(script.out, part)) << shell << ": " << part;
    }
    EXPECT_EQ(espalier_command({"completion", shell, "--json"}).json().at("script"), script.out);
  }
  const Outcome other = espalier_command({"completion", "tcsh"});
  EXPECT_EQ(other.code, kExitBadUse);
  EXPECT_TRUE(has(other.err, "bash, zsh or fish, got 'tcsh'")) << other.err;
}

// What bash proposes for a line whose last word is typed in part.
std::string completed(const TemporaryFolder& folder, const std::string& line) {
  folder.write("line.sh",
               "source " + (folder / "script").string() + "\nCOMP_WORDS=(" + line + ")\n" +
                   "[ \"${1:-}\" = blank ] && COMP_WORDS+=('')\n"
                   "COMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n_espalier\necho \"${COMPREPLY[@]}\"\n");
  const std::string command =
      "bash " + (folder / "line.sh").string() + " > " + (folder / "out").string() + " 2>&1";
  EXPECT_EQ(std::system(command.c_str()), 0);
  return slurp(folder / "out");
}

TEST(Completion, OfBashProposesWhatFits) {
  const TemporaryFolder folder;
  folder.write("script", espalier_command({"completion", "bash"}).out);
  EXPECT_EQ(completed(folder, "espalier tra"), "train\n");
  EXPECT_EQ(completed(folder, "espalier train --label"), "--label-smoothing\n");
  EXPECT_EQ(completed(folder, "espalier train --optimizer ada"), "adam adamw adagrad\n");
  EXPECT_EQ(completed(folder, "espalier train --prune rig"), "rigl\n");
  EXPECT_EQ(completed(folder, "espalier data fet"), "fetch\n");
  EXPECT_EQ(completed(folder, "espalier experiment run --pres"), "--preset\n");
  EXPECT_EQ(completed(folder, "espalier models resnet2"), "resnet20\n");
}

TEST(Completion, OfZshAndFishAreScriptsOfTheirs) {
  const TemporaryFolder folder;
  for (const char* shell : {"zsh", "fish"}) {
    if (!is_installed(shell)) continue;
    const auto script = folder.write(shell, espalier_command({"completion", shell}).out);
    EXPECT_EQ(std::system(cat(shell, " -n ", script.string()).c_str()), 0) << shell;
  }
  const std::string fish = espalier_command({"completion", "fish"}).out;
  EXPECT_TRUE(has(fish, "-l optimizer -r -f -a 'sgd adam adamw muon rmsprop adagrad'"))
      << fish.substr(0, 2000);
}

TEST(Man, HasEveryVerbWithItsOptions) {
  const std::string page = espalier_command({"man"}).out;
  for (const char* part : {".TH ESPALIER 1",
                           ".SS espalier train\n",
                           ".SS espalier data fetch\n",
                           ".B \\-\\-label\\-smoothing \\fIREAL\\fR\n",
                           ".SH EXIT STATUS"}) {
    EXPECT_TRUE(has(page, part)) << part;
  }
  if (!is_installed("man")) return;
  const TemporaryFolder folder;
  const auto file = folder.write("espalier.1", page);
  const std::string command = "man --warnings -l " + file.string() + " > " +
                              (folder / "text").string() + " 2> " + (folder / "err").string();
  ASSERT_EQ(std::system(command.c_str()), 0);
  EXPECT_TRUE(has(slurp(folder / "text"), "--label-smoothing"));
}

}  // namespace
}  // namespace espalier::experiments
