// SPDX-License-Identifier: Apache-2.0
// Tickets for another depth: which block goes where, and that nothing of the target is left out.
#include <gtest/gtest.h>

#include <numeric>

#include <espalier/core/error.h>
#include <espalier/core/tests/temporary_folder.h>
#include <espalier/nn/introspect/counting.h>
#include <espalier/prune/structure/elastic.h>
#include <espalier/prune/tests/zoo.h>

namespace espalier::prune {
namespace {

using espalier::testing::expect_error;

using Blocks = std::vector<int64_t>;

TEST(ElasticBlocks, RepeatNeighboursOrTheWholeRow) {
  EXPECT_EQ(elastic_blocks(3, 5, BlockOrder::Interpolate), (Blocks{0, 1, 1, 2, 2}));
  EXPECT_EQ(elastic_blocks(3, 5, BlockOrder::Append), (Blocks{0, 1, 2, 1, 2}));
  EXPECT_EQ(elastic_blocks(3, 4, BlockOrder::Append), (Blocks{0, 1, 2, 1}));
}

TEST(ElasticBlocks, AreLeftOutEvenlyOrFromTheEnd) {
  EXPECT_EQ(elastic_blocks(5, 3, BlockOrder::Interpolate), (Blocks{0, 1, 3}));
  EXPECT_EQ(elastic_blocks(5, 3, BlockOrder::Append), (Blocks{0, 1, 2}));
  EXPECT_EQ(elastic_blocks(5, 1, BlockOrder::Interpolate), (Blocks{0}));
}

TEST(ElasticBlocks, OfEqualDepthsStayWhereTheyAre) {
  for (const BlockOrder order : {BlockOrder::Interpolate, BlockOrder::Append}) {
    for (int64_t blocks = 1; blocks < 10; ++blocks) {
      Blocks same(static_cast<size_t>(blocks));
      std::iota(same.begin(), same.end(), 0);
      EXPECT_EQ(elastic_blocks(blocks, blocks, order), same);
    }
  }
}

std::unique_ptr<nn::Module> network(const char* name, uint64_t seed) {
  return nn::make_model(name, {.seed = seed, .width = 0.25});
}

/// Masks that differ from parameter to parameter, as a pruned network has.
void prune_some(nn::Module& model) {
  Rng rng(5, "elastic test");
  for (const nn::NamedParameter& weight : nn::prunable_parameters(model)) {
    Tensor mask = Tensor::empty(weight.parameter->shape(), DType::U8);
    for (int64_t i = 0; i < mask.numel(); ++i) {
      mask.data<uint8_t>()[i] = rng.uniform() < 0.3 || i == 0 ? 1 : 0;
    }
    weight.parameter->set_mask(mask);
  }
}

TEST(ElasticState, StretchesATicketBlockByBlock) {
  const auto shallow = network("resnet20", 1);
  randomize(*shallow, 7);
  prune_some(*shallow);
  const auto deep = network("resnet32", 2);
  deep->load_state_dict(elastic_state(shallow->state_dict(), *deep, BlockOrder::Interpolate));
  const Blocks from = {0, 1, 1, 2, 2};
  int64_t kept = shallow->parameter("conv1.weight").nnz() + shallow->parameter("fc.weight").nnz();
  for (int stage = 1; stage <= 3; ++stage) {
    for (size_t block = 0; block < from.size(); ++block) {
      for (const char* rest : {"conv1.weight", "conv2.weight", "bn1.weight", "bn2.bias"}) {
        SCOPED_TRACE(cat("layer", stage, ".", block, ".", rest));
        nn::Parameter& target = deep->parameter(cat("layer", stage, ".", block, ".", rest));
        nn::Parameter& source =
            shallow->parameter(cat("layer", stage, ".", from[block], ".", rest));
        EXPECT_EQ(target.value.value().to_vector<float>(), source.value.value().to_vector<float>());
        ASSERT_EQ(target.masked(), source.masked());
        if (!source.masked()) continue;
        EXPECT_EQ(target.mask().to_vector<uint8_t>(), source.mask().to_vector<uint8_t>());
        kept += source.nnz();
      }
    }
  }
  const auto statistics = shallow->state_dict();
  const auto stretched = deep->state_dict();
  for (const char* rest : {".bn1.running_mean", ".bn2.running_var"}) {
    EXPECT_EQ(stretched.at(cat("layer2.3", rest)).to_vector<float>(),
              statistics.at(cat("layer2.2", rest)).to_vector<float>());
    EXPECT_NE(statistics.at(cat("layer2.2", rest)).to_vector<float>(),
              statistics.at(cat("layer2.1", rest)).to_vector<float>());
  }
  int64_t total = 0;
  for (const nn::NamedParameter& weight : nn::prunable_parameters(*deep)) {
    EXPECT_TRUE(weight.parameter->masked()) << weight.name;
    total += weight.parameter->nnz();
  }
  EXPECT_EQ(total, kept);
}

TEST(ElasticState, OfTheSameDepthIsTheSameNetwork) {
  const auto source = network("resnet20", 1);
  randomize(*source, 7);
  prune_some(*source);
  const auto target = network("resnet20", 2);
  for (const BlockOrder order : {BlockOrder::Interpolate, BlockOrder::Append}) {
    target->load_state_dict(elastic_state(source->state_dict(), *target, order));
    const Variable image = random_input("resnet20", {}, 2);
    EXPECT_EQ(logits(*source, image).to_vector<float>(), logits(*target, image).to_vector<float>());
  }
}

TEST(ElasticState, RefusesWhatHasNoSuchStages) {
  const auto vgg = network("vgg11", 1);
  const auto resnet = network("resnet20", 1);
  const auto wide = network("resnet18", 1);
  const BlockOrder order = BlockOrder::Append;
  expect_error<ValueError>([&] { elastic_state(resnet->state_dict(), *vgg, order); }, {"has none"});
  expect_error<ValueError>([&] { elastic_state(vgg->state_dict(), *resnet, order); },
                           {"no stages"});
  expect_error<ValueError>([&] { elastic_state(wide->state_dict(), *resnet, order); },
                           {"layer4 of 2"});
  auto state = resnet->state_dict();
  state.erase("layer2.1.bn1.weight");
  const auto deep = network("resnet32", 1);
  expect_error<ValueError>([&] { elastic_state(state, *deep, order); }, {"layer2.3.bn1.weight"});
  expect_error<ValueError>([&] { elastic_blocks(1, 3, order); }, {"one block"});
  expect_error<ValueError>([&] { elastic_blocks(0, 3, order); }, {"got 0 and 3"});
}

}  // namespace
}  // namespace espalier::prune
