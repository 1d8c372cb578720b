// SPDX-License-Identifier: Apache-2.0
// `espalier data`, and what the other verbs say about data: what is left out, what is damaged, and
// classes of other names.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>

#include <espalier/experiments/failure.h>

#include "command_line.h"

namespace espalier::experiments {
namespace {

namespace fs = std::filesystem;
using espalier::testing::TemporaryFolder;

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// A picture of one colour: 24 bits a pixel, rows of 32, no padding.
void write_bmp(const fs::path& file, uint8_t red, uint8_t blue) {
  fs::create_directories(file.parent_path());
  std::string bytes = "BM";
  const auto u32 = [&](uint32_t value) { bytes.append(reinterpret_cast<const char*>(&value), 4); };
  for (const uint32_t value : {54u + 3072u, 0u, 54u, 40u, 32u, 32u, 1u | 24u << 16}) u32(value);
  for (int i = 0; i < 6; ++i) u32(0);
  for (int p = 0; p < 1024; ++p) {
    for (const uint8_t value : {blue, uint8_t{30}, red}) bytes += static_cast<char>(value);
  }
  std::ofstream(file, std::ios::binary) << bytes;
}

void write_colours(const fs::path& path, const std::string& first, const std::string& second) {
  for (const char* split : {"train", "test"}) {
    for (int i = 0; i < 8; ++i) {
      const std::string name = std::to_string(i) + ".bmp";
      write_bmp(path / split / first / name, static_cast<uint8_t>(10 + i), 200);
      write_bmp(path / split / second / name, 200, static_cast<uint8_t>(10 + i));
    }
  }
}

std::vector<std::string> training_on(const fs::path& pictures, const fs::path& out) {
  return {"train",
          "--model",
          "lenet5",
          "--data",
          "folder:" + pictures.string(),
          "--epochs",
          "1",
          "--batch",
          "8",
          "--threads",
          "1",
          "--out",
          out.string()};
}

TEST(ClassNames, OfAModelFileAreComparedWithTheData) {
  const TemporaryFolder folder;
  const fs::path set = folder / "set";
  write_colours(set, "blue", "red");
  const Outcome trained = espalier_command(training_on(set, folder / "run"));
  ASSERT_EQ(trained.code, kExitOk) << trained.err;
  const std::string weights = (folder / "run/model.safetensors").string();
  const std::vector<std::string> eval = {
      "eval", "--weights", weights, "--data", "folder:" + set.string()};
  EXPECT_EQ(espalier_command(eval).code, kExitOk);
  for (const char* split : {"train", "test"})
    fs::rename(set / split / "blue", set / split / "zblue");
  const std::string expected = "class 0 is 'blue' there, 'red' here";
  Outcome other = espalier_command(eval);
  EXPECT_EQ(other.code, kExitBadUse);
  EXPECT_TRUE(has(other.err, expected)) << other.err;
  for (const char* option : {"--weights", "--distill-from"}) {
    std::vector<std::string> again = training_on(set, folder / "again");
    again.insert(again.end(), {option, weights});
    other = espalier_command(again);
    EXPECT_EQ(other.code, kExitBadUse) << option;
    EXPECT_TRUE(has(other.err, expected)) << other.err;
    EXPECT_TRUE(has(other.err, "--other-classes")) << other.err;
    EXPECT_FALSE(fs::exists(folder / "again"));
  }
  // Where it is meant, and then the file is for the new classes.
  std::vector<std::string> meant = training_on(set, folder / "meant");
  meant.insert(meant.end(), {"--weights", weights, "--other-classes"});
  ASSERT_EQ(espalier_command(meant).code, kExitOk);
  EXPECT_EQ(espalier_command({"eval",
                              "--weights",
                              (folder / "meant/model.safetensors").string(),
                              "--data",
                              "folder:" + set.string()})
                .code,
            kExitOk);
}

TEST(DataNotes, WhatWasLeftOutIsSaidByEveryVerbThatReads) {
  const TemporaryFolder folder;
  const fs::path set = folder / "set";
  write_colours(set, "blue", "red");
  for (const char* name : {"1.tif", "2.tif"}) {
    std::ofstream(set / "train/red" / name) << "x";
    std::ofstream(set / "test/red" / name) << "x";
  }
  const std::string expected = "left out: 2 files ending in .tif";
  const std::string data = "folder:" + set.string();
  const Outcome trained = espalier_command(training_on(set, folder / "run"));
  EXPECT_TRUE(has(trained.err, expected)) << trained.err;
  const std::string weights = (folder / "run/model.safetensors").string();
  EXPECT_TRUE(has(espalier_command({"eval", "--weights", weights, "--data", data}).err, expected));
  EXPECT_TRUE(has(espalier_command({"quantize",
                                    "--weights",
                                    weights,
                                    "--data",
                                    data,
                                    "--out",
                                    (folder / "q.safetensors").string()})
                      .err,
                  expected));
  const Outcome info = espalier_command({"data", "info", data, "--json"});
  EXPECT_TRUE(has(info.err, expected)) << info.err;
  EXPECT_EQ(info.json().at("train").at("notes").size(), 1u);
  EXPECT_EQ(info.json().at("train").at("fingerprint").get<std::string>().size(), 32u);
}

TEST(DataNotes, AClassWithoutPicturesIsBadUseUnlessAllowed) {
  const TemporaryFolder folder;
  const fs::path set = folder / "set";
  write_colours(set, "blue", "red");
  fs::create_directory(set / "train/green");
  std::vector<std::string> train = training_on(set, folder / "run");
  const Outcome refused = espalier_command(train);
  EXPECT_EQ(refused.code, kExitBadUse);
  EXPECT_TRUE(has(refused.err, "train/green has no pictures")) << refused.err;
  train.emplace_back("--allow-empty-classes");
  EXPECT_EQ(espalier_command(train).code, kExitOk);
  EXPECT_EQ(espalier_command({"data", "info", "folder:" + set.string()}).code, kExitBadUse);
  EXPECT_EQ(
      espalier_command({"data", "info", "folder:" + set.string(), "--allow-empty-classes"}).code,
      kExitOk);
}

TEST(DataVerify, DamagedFilesEndWithTwo) {
  const TemporaryFolder folder;
  fs::create_directories(folder / "mnist");
  for (const char* name :
       {"train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"}) {
    folder.write(std::string("mnist/") + name + "-ubyte.gz", "junk");
  }
  const std::string root = folder.path().string();
  for (const auto& more : {std::vector<std::string>{}, {"mnist"}}) {
    std::vector<std::string> arguments = {"data", "verify", "--data-root", root, "--json"};
    arguments.insert(arguments.begin() + 2, more.begin(), more.end());
    const Outcome outcome = espalier_command(arguments);
    EXPECT_EQ(outcome.code, kExitBadUse);
    EXPECT_TRUE(has(outcome.err, "4 files are damaged or missing")) << outcome.err;
    ASSERT_EQ(outcome.json().size(), 1u);
    EXPECT_EQ(outcome.json()[0].at("right"), false);
    EXPECT_EQ(outcome.json()[0].at("files")[3].at("state"), "damaged");
  }
  EXPECT_EQ(espalier_command({"data", "verify", "synth"}).code, kExitBadUse);
  EXPECT_EQ(espalier_command({"data", "verify", "svhn", "--data-root", root}).code, kExitBadUse);
  EXPECT_EQ(espalier_command({"data", "verify", "--data-root", root + "/none"}).code, kExitBadUse);
}

TEST(DataVerify, TheRealSetsAreRight) {
  const char* real = std::getenv("ESPALIER_DATA");
  if (real == nullptr) GTEST_SKIP() << "needs MNIST and CIFAR-10 below ESPALIER_DATA";
  EXPECT_EQ(espalier_command({"data", "verify", "mnist", "cifar10", "--data-root", real}).code,
            kExitOk);
  // What is right is not fetched again: this would fail without a network.
  EXPECT_EQ(espalier_command({"data", "fetch", "mnist", "--data-root", real}).code, kExitOk);
}

std::map<std::string, std::string> content(const fs::path& folder) {
  std::map<std::string, std::string> out;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    std::ifstream file(entry.path(), std::ios::binary);
    out[fs::relative(entry.path(), folder).string()] = {std::istreambuf_iterator<char>(file), {}};
  }
  return out;
}

// A child that is killed by the system when it makes its `when`th rename would need strace; one
// that is killed at any of its system calls is as good, and comes from a timer.
TEST(DataSynth, KilledAtAnyInstantTheSameCommandEndsRightAndNoTwoSetsAreMixed) {
  const TemporaryFolder folder;
  const auto synth = [&](const fs::path& out, const std::string& seed) {
    return espalier_command({"data",
                             "synth",
                             "--out",
                             out.string(),
                             "--seed",
                             seed,
                             "--train-size",
                             "400",
                             "--test-size",
                             "60"});
  };
  ASSERT_EQ(synth(folder / "one", "1").code, kExitOk);
  ASSERT_EQ(synth(folder / "two", "2").code, kExitOk);
  const auto one = content(folder / "one"), two = content(folder / "two");
  int killed = 0;
  for (int round = 0; round < 60; ++round) {
    const fs::path root = folder / ("r" + std::to_string(round));
    const fs::path out = root / "cifar10";
    fs::create_directories(root);
    if (round % 2 == 0) fs::copy(folder / "one", out, fs::copy_options::recursive);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      const int nothing = ::open("/dev/null", O_WRONLY);
      ::dup2(nothing, STDOUT_FILENO);
      ::dup2(nothing, STDERR_FILENO);
      ::execl(ESPALIER_COMMAND,
              ESPALIER_COMMAND,
              "data",
              "synth",
              "--out",
              out.c_str(),
              "--seed",
              "2",
              "--train-size",
              "400",
              "--test-size",
              "60",
              nullptr);
      ::_exit(127);
    }
    usleep(static_cast<useconds_t>(4000 * (round / 2)));
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    killed += WIFSIGNALED(status);
    const Outcome read =
        espalier_command({"data", "info", "cifar10", "--data-root", root.string()});
    if (read.code == kExitOk) {
      auto now = content(out);
      std::erase_if(now, [](const auto& file) { return file.first.starts_with('.'); });
      EXPECT_TRUE(now == one || now == two) << "round " << round;
    }
    EXPECT_EQ(synth(out, "2").code, kExitOk) << "round " << round;
    EXPECT_EQ(content(out), two) << "round " << round;
    fs::remove_all(root);
  }
  EXPECT_GT(killed, 5);
}

}  // namespace
}  // namespace espalier::experiments
