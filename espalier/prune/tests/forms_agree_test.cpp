// SPDX-License-Identifier: Apache-2.0
// What forms of nn choose by themselves is what patterns choose.
#include <cmath>

#include <gtest/gtest.h>

#include <espalier/core/random.h>
#include <espalier/nn/forms/select.h>
#include <espalier/prune/ground/select.h>
#include <espalier/prune/patterns/pattern.h>

namespace espalier::prune {
namespace {

TEST(Forms, ChooseAlongTheInputsAsThePatternDoes) {
  struct Case {
    const char* name;
    nn::NOfM pattern;
  };
  for (const Case& one :
       {Case{"2:4", {2, 4, 1}}, Case{"1:4", {1, 4, 1}}, Case{"4:8g3", {4, 8, 3}}}) {
    Tensor weight = Tensor::empty({7, 16, 3, 2});
    Rng rng(1, one.name);
    fill_normal_(weight, rng);
    for (int64_t i = 0; i < weight.numel(); i += 5) weight.data<float>()[i] = 0.25F;  // ties
    const Units units = make_pattern(one.name)->units(weight.shape());
    std::vector<double> sums(static_cast<size_t>(units.count));
    for (int64_t i = 0; i < weight.numel(); ++i) {
      sums[static_cast<size_t>(units.unit(i))] +=
          std::abs(static_cast<double>(weight.data<float>()[i]));
    }
    const auto kept = top_k_in_cells(sums, {}, one.pattern.keep, one.pattern.of);
    const Tensor mask = nn::n_of_m_mask(weight, one.pattern);
    for (int64_t i = 0; i < weight.numel(); ++i) {
      EXPECT_EQ(mask.data<uint8_t>()[i], kept[static_cast<size_t>(units.unit(i))]) << one.name;
    }
  }
}

}  // namespace
}  // namespace espalier::prune
