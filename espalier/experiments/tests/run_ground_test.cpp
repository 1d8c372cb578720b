// SPDX-License-Identifier: Apache-2.0
// A run goes on only where it stood: on the same data, with the same vector instructions.
#include <fstream>

#include <espalier/core/simd.h>
#include <espalier/data/idx.h>
#include <espalier/experiments/failure.h>
#include <espalier/experiments/run/run_ground.h>

#include "command_line.h"

namespace espalier::experiments {
namespace {

using espalier::testing::slurp;
using espalier::testing::TemporaryFolder;

constexpr const char* kChecksum = "checksum";  // of run.json

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// Folders of grey PGM-like pictures are files of image libraries; idx files are plain bytes.
void write_digits(const std::filesystem::path& folder, int64_t count, uint8_t first_pixel = 0) {
  std::filesystem::create_directories(folder);
  const auto big_endian = [](uint32_t value) {
    std::string out;
    for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift);
    return out;
  };
  for (const char* split : {"train", "t10k"}) {
    const auto n = static_cast<uint32_t>(count);
    std::string images = big_endian(0x803) + big_endian(n) + big_endian(28) + big_endian(28);
    std::string labels = big_endian(0x801) + big_endian(n);
    for (uint32_t i = 0; i < n; ++i) {
      for (int p = 0; p < 28 * 28; ++p) images += static_cast<char>((i * 31 + p) % 251);
      labels += static_cast<char>(i % 10);
    }
    images[16] = static_cast<char>(first_pixel);
    std::ofstream(folder / (std::string(split) + "-images-idx3-ubyte"), std::ios::binary) << images;
    std::ofstream(folder / (std::string(split) + "-labels-idx1-ubyte"), std::ios::binary) << labels;
  }
}

std::vector<std::string> training(const TemporaryFolder& folder, const std::string& epochs) {
  return {"train",
          "--model",
          "lenet5",
          "--data",
          "mnist",
          "--data-root",
          folder.path(),
          "--batch",
          "20",
          "--lr",
          "0.01",
          "--epochs",
          epochs,
          "--seed",
          "3",
          "--threads",
          "1",
          "--out",
          (folder / "run").string()};
}

// As a run that was killed after its last checkpoint.
void unfinish(const std::filesystem::path& run) {
  nlohmann::ordered_json json = nlohmann::ordered_json::parse(slurp(run / "run.json"));
  json["status"] = "running";
  json.erase("results");
  json.erase("finished");
  json.erase("files");
  json.erase(kChecksum);
  std::filesystem::remove(run / "model.safetensors");
  std::ofstream(run / "run.json") << json.dump();
}

TEST(RunGround, OtherDataIsRefusedByName) {
  const TemporaryFolder folder;
  write_digits(folder / "mnist", 60);
  const Outcome first = espalier_command(training(folder, "1"));
  ASSERT_EQ(first.code, kExitOk) << first.err;
  const std::string model = slurp(folder / "run/model.safetensors");
  for (const bool finished : {true, false}) {
    if (!finished) unfinish(folder / "run");
    write_digits(folder / "mnist", 60, 200);  // one pixel
    const Outcome pixel = espalier_command(training(folder, "1"));
    EXPECT_EQ(pixel.code, kExitBadUse);
    EXPECT_TRUE(has(pixel.err,
                    "is of a run on other data. train split: as many samples and the same classes, "
                    "but other pixels"))
        << pixel.err;
    write_digits(folder / "mnist", 61);
    const Outcome more = espalier_command(training(folder, "1"));
    EXPECT_TRUE(has(more.err, "train split: 60 samples then, 61 now")) << more.err;
  }
  write_digits(folder / "mnist", 60);
  const Outcome back = espalier_command(training(folder, "1"));
  ASSERT_EQ(back.code, kExitOk) << back.err;
  EXPECT_EQ(slurp(folder / "run/model.safetensors"), model);
}

TEST(RunGround, AnotherNameOfAClassIsTold) {
  const auto split = [](const char* second) {
    return nlohmann::ordered_json{
        {"samples", 2}, {"shape", {3, 8, 8}}, {"classes", {"cat", second}}, {"fingerprint", "0"}};
  };
  const nlohmann::ordered_json then = {{"data", {{"train", split("dog")}}}};
  RunGround now;
  now.data = {{"train", split("wolf")}};
  EXPECT_EQ(data_differences(then, now), "train split: class 1 was 'dog', is 'wolf'");
  now.data = {{"train", split("dog")}};
  EXPECT_EQ(data_differences(then, now), "");
  EXPECT_EQ(data_differences(nlohmann::ordered_json::object(), now), "")
      << "an older run tells none";
}

TEST(RunGround, OtherVectorInstructionsAreRefusedUnlessAllowed) {
  const std::vector<std::string> targets = simd_targets();
  if (targets.size() < 2) GTEST_SKIP() << "this machine has one kind of vector instructions";
  const TemporaryFolder folder;
  ASSERT_EQ(espalier_command(tiny_training(folder / "run")).code, kExitOk);
  // A finished run is what it is.
  nlohmann::ordered_json json = nlohmann::ordered_json::parse(slurp(folder / "run/run.json"));
  const std::string now = json.at("machine").at("simd");
  const std::string other = targets[0] == now ? targets[1] : targets[0];
  json["machine"]["simd"] = other;
  json.erase(kChecksum);
  std::ofstream(folder / "run/run.json") << json.dump();
  EXPECT_EQ(espalier_command(tiny_training(folder / "run")).code, kExitOk);
  unfinish(folder / "run");
  const Outcome refused = espalier_command(tiny_training(folder / "run"));
  EXPECT_EQ(refused.code, kExitBadUse);
  EXPECT_TRUE(has(refused.err, "was made with " + other + ", and this machine has " + now))
      << refused.err;
  EXPECT_TRUE(has(refused.err, "--allow-other-simd")) << refused.err;
  const Outcome allowed = espalier_command(tiny_training(folder / "run", {"--allow-other-simd"}));
  ASSERT_EQ(allowed.code, kExitOk) << allowed.err;
  json = nlohmann::ordered_json::parse(slurp(folder / "run/run.json"));
  EXPECT_EQ(json.at("continued_with_simd"), nlohmann::ordered_json::array({now}));
  // From now on it is a run of this machine's.
  unfinish(folder / "run");
  EXPECT_EQ(espalier_command(tiny_training(folder / "run")).code, kExitOk);
}

}  // namespace
}  // namespace espalier::experiments
