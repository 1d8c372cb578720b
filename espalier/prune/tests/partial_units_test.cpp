// SPDX-License-Identifier: Apache-2.0
// Blocks at the end of a weight that are smaller than the others.
#include <gtest/gtest.h>

#include <espalier/nn/layers/linear.h>
#include <espalier/nn/layers/sequential.h>
#include <espalier/prune/drive/pruner.h>
#include <espalier/prune/drive/registry.h>

#include "tiny.h"

namespace espalier::prune {
namespace {

// Ten rows in blocks of eight: eight whole blocks and eight of two rows. The larger a column's
// number, the larger its weights, so whole and small blocks of four columns stay: 4 (8 + 2).
TEST(PartialUnits, AreRankedByWhatTheirWeightsAreNotByHowManyTheyHave) {
  for (const char* pattern : {"8x1", "4x1"}) {
    nn::Sequential net;
    net.add("fc", nn::Linear({.in = 8, .out = 10}));
    Tensor& weight = net.parameter("fc.weight").value.value();
    for (int64_t i = 0; i < weight.numel(); ++i) {
      weight.data<float>()[i] = static_cast<float>(i % 8 + 1);
    }
    const auto pruner = make_pruner(
        "magnitude",
        parse_settings(method("magnitude"), {{"sparsity", "0.5"}, {"pattern", pattern}}),
        {.input_shape = {8}});
    pruner->prune(net, nullptr, Sparsity(0.5));
    const std::vector<int> mask = testing::mask_of(net.parameter("fc.weight"));
    for (size_t i = 0; i < mask.size(); ++i) EXPECT_EQ(mask[i], i % 8 >= 4 ? 1 : 0) << i;
  }
}

}  // namespace
}  // namespace espalier::prune
