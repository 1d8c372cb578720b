// SPDX-License-Identifier: Apache-2.0
// run.json with members of other types than they have: each reader either goes on or names the
// file.
#include <espalier/experiments/run/run_json.h>

#include <espalier/core/io.h>
#include <espalier/experiments/report/report.h>

#include "runs.h"

namespace espalier::experiments {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using espalier::testing::expect_error;
using espalier::testing::slurp;
using espalier::testing::TemporaryFolder;

class RunJson : public Runs {};

// Every place in a value, as pointers; of a list its first item.
void places(const Json& json,
            const Json::json_pointer& here,
            std::vector<Json::json_pointer>& out) {
  out.push_back(here);
  if (json.is_object()) {
    for (const auto& [name, value] : json.items()) places(value, here / name, out);
  } else if (json.is_array() && !json.empty()) {
    places(json.front(), here / 0, out);
  }
}

TEST_F(RunJson, WithAnyMemberOfAnotherTypeIsReadOrRefusedByName) {
  const Json whole = Json::parse(slurp(path("dense/run.json")));
  std::vector<Json::json_pointer> all;
  places(whole, Json::json_pointer(), all);
  ASSERT_GT(all.size(), 60u);
  const TemporaryFolder folder;
  fs::copy(path("dense"), folder / "run", fs::copy_options::recursive);
  int refused = 0;
  for (const Json::json_pointer& place : all) {
    for (const Json& other : {Json(),
                              Json(true),
                              Json(1e300),
                              Json("text"),
                              Json::array({1}),
                              Json::object({{"a", 1}})}) {
      Json changed = whole;
      changed[place] = other;
      folder.write("run/run.json", changed.dump());
      for (const auto& arguments :
           {std::vector<std::string>{
                "report", (folder / "run").string(), "--out", (folder / "p.html").string()},
            tiny_training(folder / "run")}) {
        // A training of something else would begin.
        if (arguments[0] == "train" && place.to_string().starts_with("/settings")) continue;
        if (arguments[0] == "train" && place.to_string().starts_with("/status")) continue;
        const Outcome outcome = espalier_command(arguments);
        const std::string told = outcome.err + outcome.out;
        const std::string what = place.to_string() + " " + other.dump() + ": " + told;
        EXPECT_EQ(told.find("json.exception"), std::string::npos) << what;
        EXPECT_NE(outcome.code, kExitFailed) << what;
        if (outcome.code == kExitOk) continue;
        ++refused;
        EXPECT_NE(told.find("run.json"), std::string::npos) << what;
      }
    }
  }
  EXPECT_GT(refused, 50);
}

TEST_F(RunJson, OfAnyDepthIsNoHarm) {
  const TemporaryFolder folder;
  fs::copy(path("dense"), folder / "run", fs::copy_options::recursive);
  std::string text = slurp(path("dense/run.json"));
  const std::string deep = std::string(60'000, '[') + std::string(60'000, ']');
  text.insert(text.find("\"settings\": {") + 13, "\"zz\": " + deep + ",");
  folder.write("run/run.json", text);
  const Outcome outcome =
      espalier_command({"report", (folder / "run").string(), "--out", (folder / "p").string()});
  EXPECT_EQ(outcome.code, kExitBadUse);
  EXPECT_NE(outcome.err.find("run.json: nested too deeply"), std::string::npos) << outcome.err;
  // As the server reads it, beside others.
  const auto runs = report::read_runs({folder.path()});
  ASSERT_EQ(runs.size(), 1u);
  EXPECT_NE(runs[0].error.find("nested too deeply"), std::string::npos) << runs[0].error;
}

TEST(ReadRunJson, RefusesWhatIsNotARun) {
  const TemporaryFolder folder;
  const auto refused = [&](const char* text, const std::vector<std::string>& parts) {
    expect_error<IoError>([&] { read_run_json(folder.write("run.json", text)); }, parts);
  };
  refused("[]", {"run.json", "a list"});
  refused("{}", {"no settings"});
  refused(R"({"settings": []})", {"'settings' expects an object, got a list"});
  refused(R"({"settings": {"lr": [1]}})", {"'lr' of settings expects a text, a number"});
  refused(R"({"settings": {}, "results": 7})", {"'results' expects an object, got a number"});
  refused(R"({"settings": {}, "results": {"params": 1.5}})", {"'params' expects a whole number"});
  refused(R"({"settings": {}, "results": {"accuracy": "x"}})", {"'accuracy' expects a number"});
  refused(R"({"settings": {}, "timing": {"layers": [{}]}})", {"timing has no 'batch'"});
  refused(R"({"settings": {}, "settings": {}})", {"'settings' is given twice"});
}

}  // namespace
}  // namespace espalier::experiments
