// SPDX-License-Identifier: Apache-2.0
/// Patterns by layer: who has which, what each keeps, budgets and outputs beside them, and errors
/// that name the layer and the patterns that exist.
#include <algorithm>
#include <map>
#include <numeric>

#include <gtest/gtest.h>

#include <espalier/nn/introspect/counting.h>
#include <espalier/nn/train/sgd.h>
#include <espalier/prune/ground/select.h>
#include <espalier/prune/patterns/layer_patterns.h>
#include <espalier/prune/tests/tiny.h>

namespace espalier::prune {
namespace {

using testing::mask_of;
using testing::tiny_loader;
using testing::tiny_mlp;

const PruneInputs kInputs = {.input_shape = {3, 8, 8}, .seed = 4};

/// What an error says; empty: there is none.
template <class Function>
std::string error_of(const Function& function) {
  try {
    function();
  } catch (const ValueError& error) {
    return error.what();
  }
  return {};
}

void expect_parts(const std::string& text, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) EXPECT_NE(text.find(part), std::string::npos) << text;
}

/// Every run of `size` inputs of a linear weight keeps `n`.
void expect_n_of(const nn::Parameter& weight, int64_t n, int64_t size) {
  const std::vector<int> mask = mask_of(weight);
  for (auto run = mask.begin(); run != mask.end(); run += size) {
    ASSERT_EQ(std::accumulate(run, run + size, 0), n);
  }
}

UpdateReport prune_with(const std::string& name, nn::Module& net, const OptionTexts& given) {
  const PruneSettings settings = parse_settings(method(name), given);
  return make_pruner(name, settings, kInputs)->prune(net, nullptr, settings.final());
}

TEST(LayerPatterns, HoldForNamesAndPrefixesAndTheLastOneWins) {
  const LayerPatterns patterns(make_pattern("2:4"), "layer1=4x1,layer1.conv1=unstructured, fc=1:4");
  EXPECT_EQ(patterns.of("conv1.weight").name(), "2:4");
  EXPECT_EQ(patterns.of("layer1.conv2.weight").name(), "4x1");
  EXPECT_EQ(patterns.of("layer1.conv1.weight").name(), "unstructured");
  EXPECT_EQ(patterns.of("fc.weight").name(), "1:4");
  EXPECT_EQ(patterns.of("fc2.weight").name(), "2:4");
  EXPECT_EQ(patterns.all().size(), 4u);
  EXPECT_TRUE(patterns.any_cells());
  EXPECT_FALSE(patterns.all_cells());
  EXPECT_EQ(patterns.name(), "2:4, layer1=4x1, layer1.conv1=unstructured, fc=1:4");
}

TEST(LayerPatterns, ErrorsNameTheLayerAndThePatternsThatExist) {
  const auto made = [](const char* common, const char* exceptions) {
    return error_of([&] { LayerPatterns(make_pattern(common), exceptions); });
  };
  expect_parts(made("2:4", "fc=3:x"), {"fc", "'3:x'", "unstructured", "4x1", "N:M"});
  expect_parts(made("2:4", "fc=channel"),
               {"fc", "channel", "whole network", "unstructured", "2:4"});
  expect_parts(made("channel", "fc=2:4"), {"fc", "channel", "whole network"});
  expect_parts(made("2:4", "fc"), {"NAME=VALUE", "'fc'"});
  // A method has patterns of its own.
  expect_parts(error_of([] {
                 parse_settings(method("sr-ste"), {{"layer-pattern", "fc=unstructured"}});
               }),
               {"sr-ste", "unstructured", "layer fc", "2:4, 1:4"});
  const auto net = tiny_mlp();
  expect_parts(error_of([&] {
                 prune_with("magnitude", *net, {{"layer-pattern", "conv7=2:4"}});
               }),
               {"layer patterns", "conv7"});
  EXPECT_FALSE(net->parameter("1.weight").masked());
}

TEST(LayerPatterns, EachLayerKeepsWhatItsPatternSays) {
  const auto net = tiny_mlp();
  const UpdateReport report = prune_with(
      "magnitude",
      *net,
      {{"pattern", "2:4"}, {"layer-pattern", "3=1:4,5=unstructured"}, {"sparsity", "0.7"}});
  expect_n_of(net->parameter("1.weight"), 2, 4);
  expect_n_of(net->parameter("3.weight"), 1, 4);
  EXPECT_EQ(net->parameter("5.weight").nnz(), kept_count(36, Sparsity(0.7)));
  EXPECT_EQ(report.kept(), 24 * 96 + 12 * 6 + kept_count(36, Sparsity(0.7)));
  EXPECT_EQ(report.target_of, SparsityOf::Nothing);  // it is of one layer alone
  // Small weights go inside of their cells.
  const auto w = tiny_mlp()->parameter("3.weight").value.value().to_vector<float>();
  const std::vector<int> mask = mask_of(net->parameter("3.weight"));
  for (size_t cell = 0; cell < w.size(); cell += 4) {
    size_t largest = cell;
    for (size_t i = cell; i < cell + 4; ++i) {
      if (std::abs(w[i]) > std::abs(w[largest])) largest = i;
    }
    EXPECT_EQ(mask[largest], 1);
  }
}

TEST(LayerPatterns, TheSparsityIsOfTheLayersWithoutANumberOfTheirOwn) {
  const auto mixed = tiny_mlp();
  prune_with("magnitude", *mixed, {{"layer-pattern", "1=2:4"}, {"sparsity", "0.6"}});
  // As if the layer were left out: the others compete for their own 0.6.
  const auto alone = tiny_mlp();
  prune_with("magnitude", *alone, {{"exclude", "1.weight"}, {"sparsity", "0.6"}});
  for (const char* name : {"3.weight", "5.weight"}) {
    EXPECT_EQ(mask_of(mixed->parameter(name)), mask_of(alone->parameter(name))) << name;
  }
  expect_n_of(mixed->parameter("1.weight"), 2, 4);
}

TEST(LayerPatterns, AllOfTheKindNToMLeaveNothingToDivide) {
  const auto net = tiny_mlp();
  prune_with("magnitude", *net, {{"pattern", "2:4"}, {"layer-pattern", "3=1:4,5=3:4"}});
  expect_n_of(net->parameter("1.weight"), 2, 4);
  expect_n_of(net->parameter("3.weight"), 1, 4);
  expect_n_of(net->parameter("5.weight"), 3, 4);
  for (const auto& [option, value] :
       OptionTexts{{"allocation", "erk"}, {"target", "macs=0.5"}, {"layer-sparsity", "3=0.5"}}) {
    expect_parts(error_of([&, option = option, value = value] {
                   parse_settings(
                       method("magnitude"),
                       {{"pattern", "2:4"}, {"layer-pattern", "3=1:4"}, {option, value}});
                 }),
                 {option, "2:4, 3=1:4"});
  }
  EXPECT_NO_THROW(parse_settings(
      method("magnitude"),
      {{"pattern", "2:4"}, {"layer-pattern", "3=unstructured"}, {"allocation", "erk"}}));
}

TEST(LayerPatterns, ALayerSparsityOfALayerWithANumberOfItsOwnIsRefused) {
  const auto net = tiny_mlp();
  const OptionTexts given = {{"layer-pattern", "1=2:4"}, {"layer-sparsity", "1=0.5"}};
  expect_parts(error_of([&] { prune_with("magnitude", *net, given); }), {"'1'"});
}

/// How much each layer keeps after every update.
class Kept : public nn::TrainHook {
 public:
  void after_step(nn::TrainState& state) override {
    for (const char* name : {"1.weight", "3.weight", "5.weight"}) {
      history[name].push_back(state.model.parameter(name).nnz());
    }
  }
  std::map<std::string, std::vector<int64_t>> history;
};

TEST(LayerPatterns, GradualMethodsBringEveryLayerToItsOwnEnd) {
  for (const char* sparsity : {"0.3", "0.9"}) {
    const auto net = tiny_mlp();
    const PruneSettings settings = parse_settings(
        method("gmp"),
        {{"layer-pattern", "1=1:4,3=2:4"}, {"sparsity", sparsity}, {"frequency", "2"}});
    const auto pruner = make_pruner("gmp", settings, kInputs);
    nn::Sgd sgd(*net, nn::SgdOptions{.lr = 0.02, .momentum = 0.9});
    Kept kept;
    auto loader = tiny_loader();
    nn::fit(*net, sgd, nn::ConstantLr(0.02), *loader, {pruner.get(), &kept}, {.epochs = 4});
    expect_n_of(net->parameter("1.weight"), 1, 4);
    expect_n_of(net->parameter("3.weight"), 2, 4);
    EXPECT_EQ(net->parameter("5.weight").nnz(), kept_count(36, settings.final()));
    for (const auto& [name, history] : kept.history) {
      EXPECT_TRUE(std::ranges::is_sorted(history, std::greater<>())) << name;
      EXPECT_GT(history.front(), history.back()) << name;
    }
    // Cells go step by step: somewhere in between three or two of four were left.
    const std::vector<int64_t>& first = kept.history.at("1.weight");
    EXPECT_TRUE(std::ranges::count(first, 24 * 192 / 4 * 3) + std::ranges::count(first, 24 * 96) >
                0);
  }
}

TEST(LayerPatterns, ABudgetIsMetByTheOtherLayersAndCellsStayWhole) {
  const auto net = tiny_mlp();
  const auto dense = nn::count_model(*net, Shape{3, 8, 8}).total.macs_effective;
  // 2:4 leaves 2304 of the 4932: half of all is half of the other layers, too.
  const UpdateReport report =
      prune_with("magnitude", *net, {{"layer-pattern", "1=2:4"}, {"target", "macs=0.5"}});
  expect_n_of(net->parameter("1.weight"), 2, 4);
  const auto left = nn::count_model(*net, Shape{3, 8, 8}).total.macs_effective;
  EXPECT_EQ(left, dense / 2);  // exact to one weight
  EXPECT_EQ(report.budget, "macs");
  expect_parts(
      error_of([&] {
        prune_with("magnitude", *tiny_mlp(), {{"layer-pattern", "1=2:4"}, {"target", "macs=0.3"}});
      }),
      {"macs", "can't be brought to"});
}

TEST(LayerPatterns, OutputsStayWhereALayerOfBlocksMakesThem) {
  const auto net = tiny_mlp();
  const UpdateReport report = prune_with("magnitude",
                                         *net,
                                         {{"pattern", "2:4"},
                                          {"layer-pattern", "5=1x4,3=unstructured"},
                                          {"sparsity", "0.9"},
                                          {"allocation", "uniform"}});
  const std::vector<int> mask = mask_of(net->parameter("5.weight"));
  for (size_t row = 0; row < 3; ++row) {
    EXPECT_GE(std::accumulate(mask.begin() + row * 12, mask.begin() + (row + 1) * 12, 0), 4);
  }
  EXPECT_TRUE(std::ranges::any_of(report.notes, [](const std::string& note) {
    return note.starts_with("5.weight keeps a unit of each row");
  }));
  // Filters of the outputs are no units at all.
  const auto other = tiny_mlp();
  const UpdateReport filters =
      prune_with("magnitude", *other, {{"layer-pattern", "5=filter"}, {"sparsity", "0.5"}});
  EXPECT_FALSE(other->parameter("5.weight").masked());
  EXPECT_TRUE(std::ranges::any_of(filters.notes, [](const std::string& note) {
    return note.starts_with("5.weight keeps its rows");
  }));
}

TEST(LayerPatterns, AreAmongTheSettingsThatARunRecords) {
  const OptionTexts given = {{"pattern", "2:4"}, {"layer-pattern", "3=1:4,5=unstructured"}};
  const OptionTexts texts = choose_method(method("magnitude"), given).texts();
  EXPECT_EQ(texts.at("layer-pattern"), "3=1:4,5=unstructured");
  const MethodChoice again = choose_method(
      method("magnitude"),
      {{"pattern", texts.at("pattern")}, {"layer-pattern", texts.at("layer-pattern")}});
  EXPECT_EQ(again.pattern.name(), "2:4, 3=1:4, 5=unstructured");
  EXPECT_EQ(again.texts(), texts);
}

TEST(LayerPatterns, RawScoresAreOfTheUnitsOfEveryLayer) {
  const auto net = tiny_mlp();
  const PruneSettings settings =
      parse_settings(method("magnitude"), {{"layer-pattern", "3=filter"}});
  const auto scores = raw_scores("magnitude", *net, settings, kInputs);
  const std::vector<double> of_filters = scores.at("3.weight").to_vector<double>();
  for (size_t row = 0; row < 12; ++row) {
    for (size_t i = 1; i < 24; ++i) EXPECT_EQ(of_filters[row * 24 + i], of_filters[row * 24]);
  }
  const std::vector<double> single = scores.at("1.weight").to_vector<double>();
  EXPECT_NE(single[0], single[1]);
}

/// Methods that can produce single weights and N:M.
std::vector<std::string> mixing_methods() {
  std::vector<std::string> names;
  for (const Method& one : methods()) {
    const bool free = std::ranges::count(one.patterns, "unstructured") > 0;
    if (free && std::ranges::count(one.patterns, "2:4") > 0) names.push_back(one.name);
  }
  return names;
}

class MixedPatterns : public ::testing::TestWithParam<std::string> {
 protected:
  std::map<std::string, std::vector<int>> trained_masks() const {
    OptionTexts given = {{"layer-pattern", "1=2:4,3=1:4"}, {"sparsity", "0.5"}};
    for (const Option& option : method(GetParam()).options) {
      if (option.name == "frequency") given[option.name] = "2";
      if (option.name == "rounds") given[option.name] = "2";
      if (option.name == "batches") given[option.name] = "2";
    }
    auto net = tiny_mlp();
    const auto pruner = make_pruner(GetParam(), parse_settings(method(GetParam()), given), kInputs);
    nn::Sgd sgd(*net, nn::SgdOptions{.lr = 0.02, .momentum = 0.9});
    auto loader = tiny_loader();
    nn::fit(*net, sgd, nn::ConstantLr(0.02), *loader, {pruner.get()}, {.epochs = 2});
    std::map<std::string, std::vector<int>> masks;
    for (const char* name : {"1.weight", "3.weight", "5.weight"}) {
      masks[name] = mask_of(net->parameter(name));
      const auto value = net->parameter(name).value.value().to_vector<float>();
      for (size_t i = 0; i < value.size(); ++i) {
        EXPECT_TRUE(masks[name][i] == 1 || value[i] == 0.0F) << name;
      }
    }
    return masks;
  }
};

TEST_P(MixedPatterns, AreValidExactAndDeterministic) {
  const auto masks = trained_masks();
  for (const auto& [name, n] : std::map<std::string, int>{{"1.weight", 2}, {"3.weight", 1}}) {
    const std::vector<int>& mask = masks.at(name);
    for (auto run = mask.begin(); run != mask.end(); run += 4) {
      ASSERT_EQ(std::accumulate(run, run + 4, 0), n) << name;
    }
  }
  const std::vector<int>& free = masks.at("5.weight");
  EXPECT_EQ(std::accumulate(free.begin(), free.end(), 0), 18);
  EXPECT_EQ(trained_masks(), masks);
}

INSTANTIATE_TEST_SUITE_P(Registry,
                         MixedPatterns,
                         ::testing::ValuesIn(mixing_methods()),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace espalier::prune
