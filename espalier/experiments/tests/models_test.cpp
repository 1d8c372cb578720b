// SPDX-License-Identifier: Apache-2.0
// `models`, `inspect`, `compare`, `predict`: what they tell against what is known of the files.
#include <algorithm>

#include <espalier/core/npz.h>
#include <espalier/data/pictures.h>
#include <espalier/experiments/failure.h>
#include <espalier/experiments/predict/predictions.h>
#include <espalier/nn/models/registry.h>

#include "command_line.h"

namespace espalier::experiments {
namespace {

using espalier::testing::TemporaryFolder;
using Json = nlohmann::json;

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(Models, TellParametersAndMacsOfAll) {
  const Json list = espalier_command({"models", "--json"}).json();
  EXPECT_EQ(list.size(), nn::model_list().size());
  const auto resnet = std::find_if(
      list.begin(), list.end(), [](const Json& one) { return one.at("name") == "resnet20"; });
  ASSERT_NE(resnet, list.end());
  EXPECT_EQ(resnet->at("params"), 269722);  // as He et al. have it, 0.27 M
  // By hand: inputs * outputs * 9 taps * positions, layer by layer.
  const int64_t stem = 3 * 16 * 9 * 1024, first = 6 * 16 * 16 * 9 * 1024;
  const int64_t second = (16 * 32 + 5 * 32 * 32) * 9 * 256,
                third = (32 * 64 + 5 * 64 * 64) * 9 * 64;
  EXPECT_EQ(resnet->at("macs"), stem + first + second + third + 64 * 10);
  EXPECT_EQ(resnet->at("input"), Json({3, 32, 32}));
  EXPECT_EQ(resnet->at("options"), Json({"width", "shortcut"}));
}

TEST(Models, ExplainOneLayerByLayer) {
  const Json one = espalier_command({"models", "resnet20", "--json"}).json();
  int64_t params = 0;
  for (const Json& layer : one.at("layers")) params += layer.at("params").get<int64_t>();
  EXPECT_EQ(params, one.at("params"));
  EXPECT_TRUE(has(espalier_command({"models", "resnet20"}).out, "269,722"));
}

TEST(Models, RefuseWhatANetworkDoesNotHave) {
  const Outcome unknown = espalier_command({"models", "rsenet20"});
  EXPECT_EQ(unknown.code, kExitBadUse);
  EXPECT_TRUE(has(unknown.err, "resnet20")) << unknown.err;
  EXPECT_EQ(espalier_command({"models", "--width", "2"}).code, kExitBadUse);
}

// Two small runs, a dense one and one with 80 % of its weights gone.
class TwoRuns : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder();
    ASSERT_EQ(espalier_command(tiny_training(dense())).code, 0);
    ASSERT_EQ(
        espalier_command(tiny_training(pruned(), {"--prune", "gmp", "--sparsity", "0.8"})).code, 0);
  }
  static void TearDownTestSuite() { delete folder_; }
  static std::filesystem::path dense() { return *folder_ / "dense"; }
  static std::filesystem::path pruned() { return *folder_ / "pruned"; }
  static std::string model(const std::filesystem::path& run) {
    return (run / "model.safetensors").string();
  }

  static TemporaryFolder* folder_;
};
TemporaryFolder* TwoRuns::folder_ = nullptr;

TEST_F(TwoRuns, AreInspected) {
  const Json network = espalier_command({"inspect", model(pruned()), "--json"}).json();
  EXPECT_EQ(network.at("kind"), "network");
  EXPECT_EQ(network.at("network").at("model"), "resnet20");
  EXPECT_NEAR(network.at("network").at("sparsity").get<double>(), 0.8, 1e-3);
  int64_t weights = 0, kept = 0;
  for (const Json& layer : network.at("layers")) {
    weights += layer.at("weights").get<int64_t>();
    kept += layer.at("kept").get<int64_t>();
  }
  EXPECT_NEAR(static_cast<double>(kept) / static_cast<double>(weights), 0.2, 1e-3);
  const auto mask = std::find_if(
      network.at("tensors").begin(), network.at("tensors").end(), [](const Json& tensor) {
        return tensor.at("name") == "conv1.weight.mask";
      });
  ASSERT_NE(mask, network.at("tensors").end());
  EXPECT_EQ(mask->at("dtype"), "uint8");

  const Json state =
      espalier_command({"inspect", (pruned() / "state.safetensors").string(), "--json"}).json();
  EXPECT_EQ(state.at("kind"), "checkpoint of a run");
  EXPECT_EQ(state.at("training").at("step"), 6);  // 40 samples in batches of 16, twice
  EXPECT_EQ(state.at("training").at("epochs"), 2);
  EXPECT_TRUE(has(espalier_command({"inspect", model(pruned())}).out, "conv1.weight.mask"));
}

TEST_F(TwoRuns, CompiledAndCompressedAreInspected) {
  const std::string plan = (*folder_ / "a.plan").string(), edc = (*folder_ / "a.edc").string();
  ASSERT_EQ(espalier_command({"eval",
                              "--weights",
                              model(pruned()),
                              "--data",
                              "synth",
                              "--test-size",
                              "20",
                              "--compiled",
                              "--plan",
                              plan})
                .code,
            0);
  ASSERT_EQ(espalier_command({"compress", "--weights", model(pruned()), "--out", edc}).code, 0);
  const Json steps = espalier_command({"inspect", plan, "--json"}).json();
  EXPECT_EQ(steps.at("kind"), "compiled plan");
  EXPECT_FALSE(steps.at("steps").empty());
  const Json coded = espalier_command({"inspect", edc, "--json"}).json();
  EXPECT_NEAR(coded.at("network").at("sparsity").get<double>(), 0.8, 1e-3);
  for (const std::string& file : {plan, edc}) {
    EXPECT_EQ(espalier_command({"inspect", file}).code, 0) << file;
  }
}

TEST_F(TwoRuns, AreCompared) {
  const Json compared =
      espalier_command({"compare", dense().string(), pruned().string(), "--json"}).json();
  bool prune = false;
  for (const Json& setting : compared.at("settings")) {
    if (setting.at("name") != "prune") continue;
    prune = true;
    EXPECT_EQ(setting.at("values"), Json({"", "gmp"}));
  }
  EXPECT_TRUE(prune);
  for (const Json& result : compared.at("results")) {
    EXPECT_NE(result.at("name"), "images_per_second");
    if (result.at("name") == "params") EXPECT_EQ(result.at("difference"), 0);
  }
  int64_t kept = 0, weights = 0;
  for (const Json& layer : compared.at("layers")) {
    EXPECT_EQ(layer.at("values").at(0).at("sparsity"), 0.0);
    weights += layer.at("values").at(1).at("weights").get<int64_t>();
    kept += layer.at("values").at(1).at("kept").get<int64_t>();
  }
  EXPECT_NEAR(static_cast<double>(kept) / static_cast<double>(weights), 0.2, 1e-3);
  EXPECT_TRUE(has(espalier_command({"compare", dense().string(), dense().string()}).out,
                  "no setting differs"));
  EXPECT_EQ(espalier_command({"compare", dense().string(), "nowhere"}).code, kExitBadUse);
}

TEST_F(TwoRuns, ArePredictedWithAsEvaluationDoes) {
  // The test pictures as files, which have the same pixels; as many are right as evaluation counts.
  const std::string root = (*folder_ / "png").string();
  const auto dataset = data::open_dataset("synth", data::Split::Test, "", 0);
  std::vector<std::string> command = {"predict"};
  std::vector<int64_t> labels;
  std::filesystem::create_directories(root);
  const auto chosen = data::subset(dataset, 20, 0);
  for (int64_t i = 0; i < chosen->size(); ++i) {
    const data::ImageShape shape = chosen->image_shape();
    std::vector<uint8_t> planes(static_cast<size_t>(shape.numel()));
    chosen->read(i, planes);
    // BMP: rows from below, blue green red; 32 pixels a row need no filling.
    std::string bmp(54, '\0');
    const auto put = [&](size_t at, uint32_t value) {
      for (size_t b = 0; b < 4; ++b) bmp[at + b] = static_cast<char>(value >> (8 * b));
    };
    const auto plane = static_cast<size_t>(shape.height * shape.width);
    bmp.replace(0, 2, "BM");
    put(2, static_cast<uint32_t>(54 + planes.size()));
    put(10, 54);
    put(14, 40);
    put(18, static_cast<uint32_t>(shape.width));
    put(22, static_cast<uint32_t>(shape.height));
    bmp[26] = 1;
    bmp[28] = 24;
    for (int64_t y = shape.height - 1; y >= 0; --y) {
      for (int64_t x = 0; x < shape.width; ++x) {
        for (const size_t c : {2, 1, 0}) {
          bmp += static_cast<char>(planes[c * plane + static_cast<size_t>(y * shape.width + x)]);
        }
      }
    }
    command.push_back(folder_->write("png/" + std::to_string(i) + ".bmp", bmp).string());
    labels.push_back(chosen->label(i));
  }
  for (const std::string& weights : {dense().string(), model(dense())}) {
    std::vector<std::string> all = command;
    all.insert(all.end(), {"--weights", weights, "--json"});
    const Outcome outcome = espalier_command(all);
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    const Json found = outcome.json();
    int64_t right = 0;
    for (size_t i = 0; i < labels.size(); ++i) {
      const Json& classes = found.at("images").at(i).at("classes");
      ASSERT_EQ(classes.size(), 5u);
      double before = 1.0;
      for (const Json& one : classes) {
        EXPECT_LE(one.at("probability").get<double>(), before);
        before = one.at("probability").get<double>();
      }
      right += classes.at(0).at("index") == labels[i] ? 1 : 0;
    }
    EXPECT_EQ(right, tiny_evaluation(model(dense())).at("correct"));
    EXPECT_GT(found.at("milliseconds_per_image").get<double>(), 0.0);
  }
  // A file away from its run does not tell how pixels were normalized.
  const std::string alone = (*folder_ / "alone.safetensors").string();
  std::filesystem::copy_file(model(dense()), alone);
  std::vector<std::string> all = {"predict", command[1], "--weights", alone};
  const Outcome refused = espalier_command(all);
  EXPECT_EQ(refused.code, kExitBadUse);
  EXPECT_TRUE(has(refused.err, "--data")) << refused.err;
  all.insert(all.end(), {"--data", "synth"});
  EXPECT_EQ(espalier_command(all).code, 0);
}

TEST_F(TwoRuns, ARunThatIsShrunkWithoutChannelsSaysSoInALine) {
  const Outcome outcome = espalier_command(
      {"shrink", "--weights", model(dense()), "--out", (*folder_ / "small.safetensors").string()});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_TRUE(outcome.out.starts_with("no channel is all zero")) << outcome.out;
  EXPECT_EQ(std::count(outcome.out.begin(), outcome.out.end(), '\n'), 1);
}

TEST(Predict, OfOneLogitEachIsTheSoftmax) {
  const TemporaryFolder folder;
  std::string bmp(54, '\0');
  bmp.replace(0, 2, "BM");
  bmp[2] = 58, bmp[10] = 54, bmp[14] = 40, bmp[18] = 1, bmp[22] = 1, bmp[26] = 1, bmp[28] = 24;
  bmp += std::string("\x10\x20\x30\0", 4);
  const auto file = folder.write("a.bmp", bmp);
  const auto dataset = data::open_pictures(
      {file},
      {.shape = {1, 1, 1}, .class_names = {"a", "b", "c"}, .mean = {0.0f}, .stddev = {1.0f}});
  std::vector<uint8_t> pixel(1);
  dataset->read(0, pixel);
  EXPECT_EQ(pixel[0], (299 * 0x30 + 587 * 0x20 + 114 * 0x10 + 500) / 1000);  // BT.601 by hand
  const auto logits = [](const Tensor&) { return Tensor::from<float>({1, 3}, {0.0f, 2.0f, 0.0f}); };
  const Predictions found = predict(logits, dataset, {.batch_size = 1}, 2);
  ASSERT_EQ(found.images.at(0).size(), 2u);
  EXPECT_EQ(found.images[0][0].index, 1);
  EXPECT_NEAR(found.images[0][0].probability, 0.7869860421615985, 1e-12);  // e^2 / (e^2 + 2)
  EXPECT_EQ(found.images[0][1].index, 0);                                  // of equals the first
}

TEST(Inspect, RefusesOnnxAndOtherFiles) {
  const TemporaryFolder folder;
  const Outcome onnx = espalier_command({"inspect", folder.write("a.onnx", "x").string()});
  EXPECT_EQ(onnx.code, kExitBadUse);
  EXPECT_TRUE(has(onnx.err, "ONNX")) << onnx.err;
  EXPECT_EQ(espalier_command({"inspect", folder.write("a", "nothing").string()}).code, kExitBadUse);
  EXPECT_EQ(espalier_command({"inspect", folder.path().string()}).code, kExitBadUse);
}

}  // namespace
}  // namespace espalier::experiments
