// SPDX-License-Identifier: Apache-2.0
// Descriptions of any depth in files of weights and plans, and errors that stay short.
#include <gtest/gtest.h>

#include <espalier/core/safetensors.h>
#include <espalier/core/tests/temporary_folder.h>
#include <espalier/nn/forms/kinds.h>
#include <espalier/nn/models/registry.h>
#include <espalier/nn/plan/plan.h>

namespace espalier::nn {
namespace {

using espalier::testing::expect_error;
using espalier::testing::TemporaryFolder;

std::string deep() {
  return std::string(70'000, '[') + std::string(70'000, ']');
}

TEST(HostileDescriptions, OfPlansAreRefusedAtTheirDepth) {
  const TemporaryFolder folder;
  const auto path = folder / "plan";
  for (const std::string& text : {deep(), R"({"version":1,"batch":)" + deep() + "}"}) {
    save_safetensors(path, {{}, {{"espalier_plan", text}}});
    expect_error<IoError>([&] { InferencePlan::load(path); }, {path.string(), "nested too deeply"});
  }
}

TEST(HostileDescriptions, OfNetworksAreRefusedAtTheirDepth) {
  const TemporaryFolder folder;
  const auto path = folder / "model";
  for (const std::string& text : {deep(), R"({"version":1,"model":)" + deep() + "}"}) {
    save_safetensors(path, {{}, {{"architecture", text}}});
    expect_error<IoError>([&] { load_model(path); }, {path.string(), "nested too deeply"});
  }
  const auto model = make_model("lenet5", {.image = {1, 28, 28}});
  expect_error<ValueError>([&] { restore_forms(*model, deep()); }, {"nested too deeply"});
}

TEST(HostileDescriptions, AreToldInOurWords) {
  const TemporaryFolder folder;
  const auto path = folder / "file";
  for (const char* text : {"{}",
                           "[]",
                           "7",
                           "{\"version\":1}",
                           "{\"version\":[1]}",
                           R"({"version":1,"batch":"x"})",
                           R"({"version":1,"model":3})",
                           R"({"version":1,"model":"lenet5","num_classes":1e300,"shortcut":"A",)"
                           R"("image":[1,28,28]})"}) {
    save_safetensors(path, {{}, {{"espalier_plan", text}, {"architecture", text}}});
    for (const bool plan : {true, false}) {
      try {
        plan ? (void)InferencePlan::load(path) : (void)load_model(path);
        ADD_FAILURE() << text;
      } catch (const IoError& error) {
        const std::string told = error.what();
        EXPECT_EQ(told.find("json.exception"), std::string::npos) << told;
        EXPECT_NE(told.find(path.string()), std::string::npos) << told;
      }
    }
  }
}

TEST(HostileDescriptions, AreQuotedInPart) {
  const TemporaryFolder folder;
  const auto path = folder / "plan";
  save_safetensors(
      path,
      {{}, {{"espalier_plan", R"({"version":1,"batch":")" + std::string(200'000, 'x') + "\"}"}}});
  try {
    InferencePlan::load(path);
    FAIL();
  } catch (const IoError& error) {
    EXPECT_LT(std::string(error.what()).size(), 400u);
  }
}

// Not a list of four hundred names.
TEST(StateDict, OfAnotherModelIsToldByCountsAndTheNearest) {
  const auto small = make_model("resnet20", {.width = 0.25});
  const auto other = make_model("resnet56", {.width = 0.25});
  try {
    small->load_state_dict({});
    FAIL();
  } catch (const ValueError& error) {
    const std::string told = error.what();
    EXPECT_NE(told.find(" more"), std::string::npos) << told;
    EXPECT_LT(told.size(), 400u) << told;
  }
  auto state = small->state_dict();
  const Tensor weight = state.at("conv1.weight");
  state.erase("conv1.weight");
  state.emplace("conv_1.weight", weight);
  expect_error<ValueError>([&] { small->load_state_dict(state); },
                           {"missing: conv1.weight;", "nearest to conv1.weight are conv_1.weight"});
  try {
    other->load_state_dict(small->state_dict());
    FAIL();
  } catch (const ValueError& error) {
    EXPECT_LT(std::string(error.what()).size(), 1000u) << error.what();
  }
}

}  // namespace
}  // namespace espalier::nn
