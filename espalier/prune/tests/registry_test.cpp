// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <set>
#include <tuple>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <espalier/core/error.h>
#include <espalier/core/tests/comma_locale.h>
#include <espalier/core/tests/temporary_folder.h>
#include <espalier/nn/models/registry.h>
#include <espalier/prune/drive/registry.h>
#include <espalier/prune/patterns/pattern.h>

namespace espalier::prune {
namespace {

TEST(Registry, EveryMethodIsFullyDescribed) {
  std::set<std::string> names;
  for (const Method& method : methods()) {
    EXPECT_TRUE(names.insert(method.name).second) << method.name;
    for (const std::string* text :
         {&method.title, &method.paper, &method.idea, &method.formula, &method.schedule}) {
      EXPECT_FALSE(text->empty()) << method.name;
    }
    EXPECT_GE(method.year, 1988) << method.name;
    ASSERT_FALSE(method.patterns.empty()) << method.name;
    EXPECT_FALSE(choose_method(method, OptionTexts()).timeline().events.empty()) << method.name;
  }
}

// The last two rows of `espalier methods NAME`, and two lines of its section in docs/taxonomy.md.
TEST(Registry, EveryMethodTellsWhenToUseItAndWhenNot) {
  constexpr size_t kLongest = 120;
  std::map<std::string, std::string> told;
  for (const Method& method : methods()) {
    const std::string text = explain(method);
    const nlohmann::json json = nlohmann::json::parse(method_json(method));
    size_t at = 0;
    for (const auto& [key, title, words] :
         {std::tuple{"use_when", "\nuse when   ", method.use_when},
          std::tuple{"not_when", "\nnot when   ", method.not_when}}) {
      ASSERT_FALSE(words.empty()) << method.name << " " << key;
      EXPECT_LE(words.size(), kLongest) << method.name << ": " << words;
      EXPECT_EQ(words.back(), '.') << method.name << ": " << words;
      EXPECT_EQ(json.at(key), words);
      const size_t begin = text.find(title, at);
      ASSERT_NE(begin, std::string::npos) << method.name << title;
      EXPECT_EQ(text.find("\n  --", begin), std::string::npos) << method.name;
      at = begin;
    }
    EXPECT_NE(method.use_when, method.not_when) << method.name;
    const auto [other, is_new] = told.emplace(method.use_when, method.name);
    EXPECT_TRUE(is_new) << method.name << " and " << other->second << " say the same";
  }
}

// What a method does otherwise than its authors' code is told where it is explained.
TEST(Registry, TellsWhereAMethodDiffersFromItsPublishedCode) {
  const std::map<std::string, std::string> told = {
      {"smart-ratio", "ratio-rule plain"},
      {"lottery-tickets", "exclude classifier"},
      {"set", "just dropped does not grow"},
      {"fbs", "first convolution has no gate"},
      {"grasp", "one more than asked"},
      {"sparsegpt", "one weight more"},
  };
  for (const auto& [name, words] : told) {
    EXPECT_NE(method(name).differs.find(words), std::string::npos) << name;
    EXPECT_NE(explain(method(name)).find("\ndiffers    "), std::string::npos) << name;
  }
  // Names of options and values in these texts are ones that exist.
  EXPECT_NO_THROW(parse_settings(method("smart-ratio"), {{"ratio-rule", "plain"}}));
  EXPECT_NO_THROW(nn::make_model("vgg16")->parameter("classifier.weight"));
}

TEST(Registry, ScoresInTrainingModeWhereThePublishedCodeDoes) {
  const std::map<std::string, std::string> modes = {
      {"taylor", "train"}, {"fisher", "train"}, {"grasp", "auto"}, {"snip", "eval"}};
  for (const auto& [name, mode] : modes) {
    EXPECT_EQ(choose_method(method(name), OptionTexts()).texts().at("scoring-mode"), mode) << name;
  }
}

TEST(Registry, EveryOptionHasAValidDefaultAndHelp) {
  for (const Method& method : methods()) {
    for (const Option& option : method.options) {
      EXPECT_NO_THROW(option.check(method.name, option.default_value)) << option.name;
    }
    EXPECT_NO_THROW(parse_settings(method, {}));
    for (const Option& option : method.options) EXPECT_FALSE(option.help.empty()) << option.name;
  }
}

TEST(Registry, OwnOptionsDoNotHideCommonOnes) {
  std::set<std::string> common;
  for (const Option& option : prune_settings().options()) common.insert(option.name);
  for (const Method& method : methods()) {
    for (const Option& option : method.options) {
      EXPECT_FALSE(common.contains(option.name)) << method.name << " " << option.name;
    }
  }
}

TEST(Registry, JsonIsTheSameUnderALocaleWithADecimalComma) {
  const std::string usual = methods_json();
  EXPECT_NE(usual.find("0.75"), std::string::npos);
  const std::string explained = explain(method("rigl"));
  const testing::CommaLocale comma;
  if (!comma.is_set()) GTEST_SKIP() << "no locale de_DE.UTF-8 (Debian: locales)";
  EXPECT_EQ(methods_json(), usual);
  EXPECT_EQ(explain(method("rigl")), explained);
}

TEST(Registry, AnUnknownMethodSuggestsTheNearest) {
  try {
    method("magnitud");
    FAIL();
  } catch (const ValueError& error) {
    EXPECT_NE(std::string(error.what()).find("Did you mean magnitude?"), std::string::npos);
  }
}

TEST(Registry, AnUnknownMethodFarFromAllIsNotTakenForAnother) {
  try {
    method("foo");
    FAIL();
  } catch (const ValueError& error) {
    const std::string text = error.what();
    EXPECT_EQ(text.find("Did you mean"), std::string::npos) << text;
    EXPECT_NE(text.find("Known: "), std::string::npos) << text;
  }
}

TEST(Registry, UnknownOptionsAndPatternsAreErrors) {
  EXPECT_THROW(parse_settings(method("gmp"), {{"begn", "0.1"}}), ValueError);
  EXPECT_THROW(parse_settings(method("gmp"), {{"pattern", "5:4"}}), ValueError);
  EXPECT_THROW(parse_settings(method("gmp"), {{"sparsity", "90"}}), ValueError);
  EXPECT_THROW(make_pruner("gmp", {.options = {{"rounds", "3"}}}), ValueError);
}

TEST(Registry, OptionsWithoutEffectAreErrorsThatNameWhatTheyNeed) {
  struct InVain {
    std::string method, option;
    std::map<std::string, std::string> given;
    std::string needs;
    std::map<std::string, std::string> remedy;
  };
  const std::vector<InVain> all = {
      {"magnitude", "quality", {{"quality", "2"}}, "allocation std", {{"allocation", "std"}}},
      {"magnitude", "until", {{"until", "0.5"}}, "rounds other than 1", {{"rounds", "2"}}},
      {"taylor", "until", {{"until", "0.5"}, {"rounds", "1"}}, "rounds", {{"rounds", "2"}}},
      {"fisher", "until", {{"until", "0.5"}, {"rounds", "1"}}, "rounds", {{"rounds", "2"}}},
      {"rewinding",
       "fraction",
       {{"fraction", "0.5"}, {"rounds", "2"}},
       "rounds 0",
       {{"rounds", "0"}}},
      {"lottery-tickets",
       "fraction",
       {{"fraction", "0.5"}, {"rounds", "2"}},
       "rounds 0",
       {{"rounds", "0"}}},
      {"rewinding",
       "tune-lr",
       {{"tune-lr", "0.1"}},
       "retrain fine-tuning",
       {{"retrain", "fine-tuning"}}}};
  for (const InVain& one : all) {
    espalier::testing::expect_error<ValueError>(
        [&] { parse_settings(method(one.method), one.given); },
        {"prune " + one.method + ": --" + one.option, "needs --" + one.needs});
    std::map<std::string, std::string> good = one.remedy;
    good.insert(one.given.begin(), one.given.end());
    EXPECT_NO_THROW(parse_settings(method(one.method), good)) << one.method << " " << one.option;
  }
}

TEST(Registry, SettingsReadAllCommonOptions) {
  const PruneSettings settings = parse_settings(method("gmp"),
                                                {{"sparsity", "0.75"},
                                                 {"exclude", "conv1, fc.weight"},
                                                 {"min-per-layer", "3"},
                                                 {"allow-collapse", "true"},
                                                 {"ablation", "shuffle"},
                                                 {"frequency", "10"}});
  EXPECT_EQ(settings.sparsity, Sparsity(0.75));
  EXPECT_EQ(settings.exclude, (std::vector<std::string>{"conv1", "fc.weight"}));
  EXPECT_EQ(settings.min_per_layer, 3);
  EXPECT_TRUE(settings.allow_collapse);
  EXPECT_EQ(settings.ablation, Ablation::Shuffle);
  EXPECT_EQ(settings.options, (std::map<std::string, std::string>{{"frequency", "10"}}));
}

TEST(Registry, JsonHasThePromisedKeys) {
  const auto list = nlohmann::json::parse(methods_json());
  ASSERT_EQ(list.size(), methods().size());
  const std::set<std::string> speedups = {"unstructured", "semi-structured", "structured"};
  const std::set<std::string> moments = {"before", "during", "after", "runtime"};
  const std::set<std::string> ways = {"criterion", "learning", "fusion"};
  for (const auto& method : list) {
    EXPECT_TRUE(method.at("name").is_string());
    EXPECT_TRUE(method.at("title").is_string());
    EXPECT_TRUE(method.at("paper").is_string());
    EXPECT_TRUE(method.at("year").is_number_integer());
    EXPECT_TRUE(speedups.contains(method.at("speedup").get<std::string>()));
    EXPECT_TRUE(moments.contains(method.at("when").get<std::string>()));
    EXPECT_TRUE(ways.contains(method.at("how").get<std::string>()));
    for (const char* key : {"one_shot", "global", "data_free"}) {
      EXPECT_TRUE(method.at(key).is_boolean());
    }
    for (const auto& option : method.at("options")) {
      for (const char* key : {"name", "kind", "default", "unit", "help"}) {
        EXPECT_TRUE(option.contains(key)) << key;
      }
      if (option.at("kind") == "real" || option.at("kind") == "integer") {
        EXPECT_LE(option.at("min"), option.at("default"));
        EXPECT_GE(option.at("max"), option.at("default"));
      }
    }
  }
}

TEST(Registry, ExplanationsFitTheScreenAndNameEveryOption) {
  for (const Method& method : methods()) {
    const std::string text = explain(method);
    size_t begin = 0;
    while (begin < text.size()) {
      const size_t end = text.find('\n', begin);
      ASSERT_NE(end, std::string::npos);
      EXPECT_LE(end - begin, 100U) << text.substr(begin, end - begin);
      begin = end + 1;
    }
    for (const Option& option : method.options) {
      EXPECT_NE(text.find("--" + option.name), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace espalier::prune
