// SPDX-License-Identifier: Apache-2.0
// What verbs may write over, and what they refuse to.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <csignal>

#include <espalier/core/io.h>
#include <espalier/experiments/run/outputs.h>

#include "runs.h"

namespace espalier::experiments {
namespace {

namespace fs = std::filesystem;
using espalier::testing::slurp;
using espalier::testing::TemporaryFolder;

class Outputs : public Runs {
 protected:
  void SetUp() override {
    Runs::SetUp();
    fs::copy_file(path("dense/model.safetensors"), here_ / "model");
    fs::copy_file(path("dense/state.safetensors"), here_ / "state");
    fs::copy_file(path("dense/metrics.csv"), here_ / "metrics.csv");
    fs::copy_file(path("dense/run.json"), here_ / "run.json");
    here_.write("empty", "");
    here_.write("letter", "Dear reader");
  }
  std::string in(const char* name) const { return (here_ / name).string(); }
  // Refused as bad use with the file as it was.
  void expect_refused(const std::vector<std::string>& arguments,
                      const char* target,
                      const std::vector<std::string>& parts) {
    const std::string before = slurp(in(target));
    const Outcome outcome = espalier_command(arguments);
    EXPECT_EQ(outcome.code, kExitBadUse) << target << ": " << outcome.err;
    for (const std::string& part : parts) {
      EXPECT_NE(outcome.err.find(part), std::string::npos) << part << " in " << outcome.err;
    }
    EXPECT_EQ(slurp(in(target)), before) << target;
  }
  std::vector<std::string> compiled(const std::string& plan) {
    return {"eval",
            "--weights",
            in("model"),
            "--data",
            "synth",
            "--test-size",
            "10",
            "--compiled",
            "--plan",
            plan};
  }

  const TemporaryFolder here_;
};

TEST_F(Outputs, AreRecognizedByTheirContent) {
  ASSERT_EQ(espalier_command(compiled(in("plan"))).code, kExitOk);
  ASSERT_EQ(espalier_command({"compress", "--weights", in("model"), "--out", in("edc")}).code,
            kExitOk);
  ASSERT_EQ(espalier_command({"report", path("dense"), "--out", in("page.html")}).code, kExitOk);
  const std::vector<std::pair<const char*, FileKind>> kinds = {
      {"model", FileKind::Model},
      {"state", FileKind::Checkpoint},
      {"plan", FileKind::Plan},
      {"edc", FileKind::Compressed},
      {"metrics.csv", FileKind::MetricsTable},
      {"page.html", FileKind::ReportPage},
      {"page.csv", FileKind::ReportTable},
      {"run.json", FileKind::Other},
      {"letter", FileKind::Other}};
  for (const auto& [name, kind] : kinds) EXPECT_EQ(file_kind(in(name)), kind) << name;
  const fs::path results = fs::path(ESPALIER_SOURCE_DIR) / "espalier/experiments/results";
  EXPECT_EQ(file_kind(results / "patterns.md"), FileKind::ExperimentPage);
  EXPECT_EQ(file_kind(results / "patterns.csv"), FileKind::ExperimentTable);
  EXPECT_EQ(file_kind(results / "methods_macs_vgg16.png"), FileKind::Png);
}

TEST_F(Outputs, NeverReplaceAnInputByAnyOfItsNames) {
  fs::create_symlink("model", here_ / "link");
  fs::create_hard_link(here_ / "model", here_ / "hard");
  for (const char* name : {"model", "link", "hard", "../x/../model"}) {
    const std::string out =
        std::string(name).starts_with("..") ? (here_.path() / "." / "model").string() : in(name);
    expect_refused({"shrink", "--weights", in("model"), "--out", out}, "model", {"what is read"});
  }
  expect_refused(compiled(in("model")), "model", {"eval: --plan", "what is read"});
  expect_refused({"quantize", "--weights", in("model"), "--data", "synth", "--out", in("model")},
                 "model",
                 {"quantize: --out", "what is read"});
  expect_refused({"compress", "--weights", in("model"), "--out", in("model")}, "model", {"read"});
}

TEST_F(Outputs, NeverReplaceAFileOfAnotherKind) {
  for (const char* name : {"state", "metrics.csv", "letter", "run.json"}) {
    expect_refused(compiled(in(name)), name, {"expected a compiled plan", "got "});
    expect_refused({"shrink", "--weights", in("model"), "--out", in(name)}, name, {"got "});
    expect_refused({"compress", "--weights", in("model"), "--out", in(name)}, name, {".edc"});
    expect_refused({"report", path("dense"), "--out", in(name)}, name, {"page"});
  }
  // The table goes beside the page.
  expect_refused({"report", path("dense"), "--out", in("metrics.html")},
                 "metrics.csv",
                 {"expected a report's table", "got the metrics of a run"});
  EXPECT_FALSE(fs::exists(in("metrics.html")));
}

// Of the kind that is written, and yet a run's.
TEST_F(Outputs, NeverTakeThePlaceOfAFileOfARun) {
  fs::copy(path("pruned"), here_ / "run", fs::copy_options::recursive);
  fs::create_directory_symlink("run", here_ / "folder-link");
  fs::create_symlink("run/model.safetensors", here_ / "file-link");
  const std::string model = "run/model.safetensors";
  for (const char* name : {"run/model.safetensors",
                           "folder-link/model.safetensors",
                           "file-link",
                           "run/../run/model.safetensors"}) {
    const std::vector<std::string> parts = {in(name), "is a file of the run in"};
    expect_refused({"shrink", "--weights", in("model"), "--out", in(name)}, model.c_str(), parts);
    expect_refused({"quantize", "--weights", in("model"), "--data", "synth", "--out", in(name)},
                   model.c_str(),
                   parts);
  }
  ASSERT_EQ(espalier_command({"compress", "--weights", in("model"), "--out", in("edc")}).code,
            kExitOk);
  expect_refused({"decompress", "--weights", in("edc"), "--out", in("file-link")},
                 model.c_str(),
                 {"is a file of the run in"});
  // What is not there would be taken for the run's too.
  fs::remove(here_ / "run/model.safetensors");
  fs::remove(here_ / "run/metrics.csv");
  const std::vector<std::vector<std::string>> attempts = {
      compiled(in("run/model.safetensors")),
      compiled(in("run/state.swap.safetensors")),
      {"compress", "--weights", in("model"), "--out", in("file-link")},
      {"score", "snip", "--inputs", in("model"), "--out", in("run/state.safetensors")},
      {"report", path("dense"), "--out", in("run/metrics.html")}};
  for (const std::vector<std::string>& arguments : attempts) {
    const Outcome outcome = espalier_command(arguments);
    EXPECT_EQ(outcome.code, kExitBadUse) << arguments[0] << ": " << outcome.out;
    EXPECT_FALSE(fs::exists(here_ / "run/model.safetensors")) << arguments[0];
    EXPECT_FALSE(fs::exists(here_ / "run/metrics.csv")) << arguments[0];
  }
  EXPECT_EQ(espalier_command({"shrink", "--weights", in("model"), "--out", in("run/small")}).code,
            kExitOk);
}

TEST_F(Outputs, APageThatIsNoFileHasNoTable) {
  EXPECT_EQ(table_beside("page.html"), "page.csv");
  EXPECT_EQ(table_beside("/dev/null"), "");
  EXPECT_EQ(table_beside(""), "");
  ASSERT_EQ(::mkfifo(in("pipe").c_str(), 0600), 0);
  fs::create_symlink("/dev/null", here_ / "nothing.html");
  EXPECT_EQ(table_beside(in("pipe")), "");
  const Outcome outcome = espalier_command({"report", path("dense"), "--out", in("nothing.html")});
  EXPECT_EQ(outcome.code, kExitOk) << outcome.err;
  EXPECT_FALSE(fs::exists(in("nothing.csv")));
}

TEST_F(Outputs, ReplaceTheirOwnKindAndWhatIsEmpty) {
  for (int time = 0; time < 2; ++time) {
    for (const char* name : {"empty", "fresh"}) {
      const Outcome outcome = espalier_command(compiled(in(name)));
      EXPECT_EQ(outcome.code, kExitOk) << outcome.err;
    }
  }
}

TEST_F(Outputs, GoThroughPipesAndLinksAndKeepModes) {
  ASSERT_EQ(::mkfifo(in("pipe").c_str(), 0600), 0);
  const Outcome unread =
      espalier_command({"shrink", "--weights", in("model"), "--out", in("pipe")});
  EXPECT_EQ(unread.code, kExitFailed);
  EXPECT_NE(unread.err.find("nobody reads"), std::string::npos) << unread.err;
  EXPECT_TRUE(fs::is_fifo(in("pipe")));

  fs::create_symlink("real", here_ / "link");
  fs::copy_file(in("model"), in("real"));
  ::chmod(in("real").c_str(), 0640);
  EXPECT_EQ(espalier_command({"shrink", "--weights", in("model"), "--out", in("link")}).code,
            kExitOk);
  struct stat info {};
  ASSERT_EQ(::stat(in("real").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0640u);
  EXPECT_TRUE(fs::is_symlink(in("link")));
  EXPECT_EQ(espalier_command({"shrink", "--weights", in("model"), "--out", "/dev/null"}).code,
            kExitOk);
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
}

// Whichever option names them, and whether the disk is full or may not be written to.
TEST_F(Outputs, ThatMayNotBeWrittenAreAFailureAndNotBadUse) {
  std::vector<std::string> measured = compiled("/proc/nobody/plan");
  const auto plan = measured;
  measured.resize(measured.size() - 2);
  measured[2] = path("pruned/model.safetensors");
  for (const char* more : {"--kernels", "measured", "--kernel-times", "/proc/nobody/times"}) {
    measured.emplace_back(more);
  }
  for (const std::vector<std::string>& arguments :
       {plan,
        measured,
        tiny_training("/proc/nobody/run", {"--epochs", "1"}),
        {"data", "synth", "--train-size", "5", "--test-size", "1", "--out", "/proc/nobody/set"},
        {"shrink", "--weights", in("model"), "--out", "/proc/nobody/small"}}) {
    const Outcome outcome = espalier_command(arguments);
    const std::string place = arguments.back();
    EXPECT_EQ(outcome.code, kExitFailed) << place << ": " << outcome.err;
    EXPECT_NE(outcome.err.find("/proc/nobody"), std::string::npos) << outcome.err;
  }
}

TEST_F(Outputs, ThatDoNotFitOnTheDiskAreAFailureAndNotBadUse) {
  const Outcome outcome = espalier_command(compiled("/dev/full"));
  EXPECT_EQ(outcome.code, kExitFailed);
  EXPECT_NE(outcome.err.find("No space left"), std::string::npos) << outcome.err;
}

// Verbs that read weights, given a pipe that nobody writes to. A hang would be ended by the alarm.
TEST_F(Outputs, InputsThatArePipesAreRefusedInsteadOfWaitedFor) {
  ASSERT_EQ(::mkfifo(in("pipe").c_str(), 0600), 0);
  const std::string pipe = in("pipe");
  ::alarm(60);
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {"eval", "--weights", pipe},
           {"shrink", "--weights", pipe, "--out", in("o")},
           {"quantize", "--weights", pipe, "--data", "synth", "--out", in("o")},
           {"compress", "--weights", pipe, "--out", in("o")},
           {"decompress", "--weights", pipe, "--out", in("o")},
           {"bench", "infer", "--weights", pipe},
           {"score", "snip", "--inputs", pipe, "--out", in("o")},
           {"score", "snip", "--inputs", in("model"), "--weights", pipe, "--out", in("o")},
           {"train", "--data", "synth", "--config", pipe},
           {"train", "--data", "synth", "--weights", pipe, "--out", in("run")},
           {"train", "--data", "synth", "--mask-from", pipe, "--out", in("run")},
           {"train", "--data", "synth", "--distill-from", pipe, "--out", in("run")},
           {"train",
            "--data",
            "synth",
            "--kernels",
            "measured",
            "--kernel-times",
            pipe,
            "--out",
            in("run")},
           {"train", "--data", "synth", "--out", pipe},
           {"report", pipe}}) {
    const Outcome outcome = espalier_command(arguments);
    EXPECT_EQ(outcome.code, kExitBadUse) << arguments[0] << ": " << outcome.err;
    EXPECT_TRUE(fs::is_fifo(pipe));
  }
  fs::create_directories(here_ / "folder");
  ASSERT_EQ(::mkfifo(in("folder/run.json").c_str(), 0600), 0);
  EXPECT_EQ(espalier_command({"report", in("folder")}).code, kExitBadUse);
  ::alarm(0);
}

// What is printed must not land in a file that took the number of a closed stream.
TEST_F(Outputs, AreWholeWhenTheCommandStartsWithClosedStreams) {
  ASSERT_EQ(espalier_command({"shrink", "--weights", in("model"), "--out", in("whole")}).code,
            kExitOk);
  const pid_t child = ::fork();
  if (child == 0) {
    for (const int stream : {0, 1, 2}) ::close(stream);
    ::execl(ESPALIER_COMMAND,
            "espalier",
            "shrink",
            "--weights",
            in("model").c_str(),
            "--out",
            in("out").c_str(),
            nullptr);
    ::_exit(127);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), kExitFailed) << "nobody could read what it printed";
  EXPECT_EQ(slurp(in("out")), slurp(in("whole")));
}

TEST(OutputPlaces, ThatCannotBeAreToldInOurWords) {
  const TemporaryFolder folder;
  const std::string too_long = (folder / std::string(300, 'n')).string();
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{tiny_training(too_long),
                                             {"report", too_long},
                                             {"report", folder.path().string(), "--out", too_long},
                                             {"eval", "--weights", too_long},
                                             {"shrink", "--weights", too_long, "--out", "x"}}) {
    const Outcome outcome = espalier_command(arguments);
    EXPECT_EQ(outcome.code, kExitBadUse) << arguments[0] << ": " << outcome.err;
    EXPECT_EQ(outcome.err.find("filesystem error"), std::string::npos) << outcome.err;
    EXPECT_NE(outcome.err.find("too long"), std::string::npos) << outcome.err;
  }
}

TEST(OutputNames, ThatAreNoUtf8AreRefused) {
  const Outcome outcome = espalier_command(tiny_training("/tmp/x\xff"));
  EXPECT_EQ(outcome.code, kExitBadUse);
  EXPECT_NE(outcome.err.find("UTF-8, got '/tmp/x\\xff'"), std::string::npos) << outcome.err;
}

TEST(OutputNames, OfTheEnvironmentAreUtf8TooBeforeAFolderIsMade) {
  const TemporaryFolder folder;
  ASSERT_EQ(::setenv("ESPALIER_DATA", "nu\xff", 1), 0);
  for (const auto& arguments :
       {tiny_training(folder / "run"), std::vector<std::string>{"doctor", "--json"}}) {
    const Outcome outcome = espalier_command(arguments);
    EXPECT_EQ(outcome.code, kExitBadUse);
    EXPECT_NE(outcome.err.find("ESPALIER_DATA in UTF-8, got 'nu\\xff'"), std::string::npos)
        << outcome.err;
  }
  ::unsetenv("ESPALIER_DATA");
  EXPECT_EQ(folder.names(), std::vector<std::string>{});
}

TEST(Terminal, IsNotCommandedByNames) {
  const Outcome outcome = espalier_command({"eval", "--weights", "\x1b[31mred\r\x1b[K\xc2\x9b"});
  EXPECT_EQ(outcome.code, kExitBadUse);
  for (const char c : {'\x1b', '\r', '\x9b'}) {
    EXPECT_EQ(outcome.err.find(c), std::string::npos) << outcome.err;
  }
  EXPECT_NE(outcome.err.find("\\u001b[31mred"), std::string::npos) << outcome.err;
}

}  // namespace
}  // namespace espalier::experiments
