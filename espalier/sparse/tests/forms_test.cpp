// SPDX-License-Identifier: Apache-2.0
// Which form of the list runs a support, and by what it is told.
#include <gtest/gtest.h>

#include <set>

#include <espalier/sparse/forms/form.h>
#include <espalier/sparse/forms/sample.h>
#include <espalier/sparse/kernels/block_stream.h>

namespace espalier::sparse {
namespace {

using detail::KernelForm;

Tensor one_weight(const Shape& shape) {
  Tensor mask = Tensor::zeros(shape, DType::U8);
  mask.data<uint8_t>()[shape.numel() / 2] = 1;
  return mask;
}

TEST(Forms, HaveNamesOfTheirOwn) {
  std::set<std::string_view> names;
  for (const KernelForm* form : detail::kernel_forms()) {
    EXPECT_TRUE(names.insert(form->name).second) << form->name;
  }
}

TEST(Forms, TheFirstFormThatAppliesRuns) {
  const Shape shape = {32, 16, 3, 3};
  const detail::TapConvolution conv =
      espalier::detail::forward_taps(conv2d_shape({16, 16, 8, 8}, shape, {.padding = 1}, "test"));
  for (const KernelForm* form : detail::kernel_forms()) {
    bool runs = false;
    for (const double density : {0.1, 0.2, 0.5}) {
      const Support own(form->sample(shape, density, 5));
      EXPECT_GE(form->products(own), own.density()) << form->name;
      EXPECT_LE(form->products(own), 1.0) << form->name;
      if (&detail::form_for(own, Pass::Forward) != form) continue;
      runs = true;
      EXPECT_TRUE(form->applies(own)) << form->name;
      const auto prepared = detail::prepare_forward(conv, 1, own, Tensor::ones(shape));
      EXPECT_EQ(&prepared->form(), form) << form->name;
      EXPECT_TRUE(detail::form_for(own, Pass::Backward).has(Pass::Backward)) << form->name;
      EXPECT_NE(detail::planes_form_for(own).planes, nullptr) << form->name;
    }
    EXPECT_TRUE(runs) << form->name << " is never chosen";
  }
  // The last applies to everything.
  EXPECT_TRUE(detail::kernel_forms().back()->applies(Support(one_weight(shape))));
  for (const Pass pass : {Pass::Forward, Pass::Backward}) {
    EXPECT_TRUE(detail::kernel_forms().back()->has(pass));
  }
}

TEST(Forms, FilledRowsAreTakenAsBlocks) {
  // The first four of twelve output channels are blocks at a third of the positions, of the next
  // four a fifth is kept one by one, the last four are empty.
  Tensor mask = Tensor::zeros({12, 5, 3, 3}, DType::U8);
  for (int64_t i = 0; i < 8 * 45; ++i) {
    mask.data<uint8_t>()[i] = i < 4 * 45 ? i % 45 % 3 == 0 : (i + i / 45) % 5 == 0;
  }
  const Support support(mask);
  // 60 weights in blocks, 36 single ones.
  EXPECT_EQ(detail::mixed_form().facts(support),
            "rows of 4 channels, those with 0.63 of the weights as filled blocks");
  EXPECT_TRUE(detail::mixed_form().applies(support));
  EXPECT_FALSE(detail::blocks_form().applies(support));
}

TEST(Forms, HalfOfTheWeightsRunTwoChannelsAtATime) {
  const Shape shape = {6, 8, 3, 3};
  EXPECT_TRUE(detail::pairs_form().applies(Support(detail::random_mask(shape, 0.5, 1, 9))));
  EXPECT_FALSE(detail::pairs_form().applies(Support(Tensor::zeros(shape, DType::U8))));
  // Two channels that keep nothing in common share nothing.
  Tensor apart = Tensor::zeros(shape, DType::U8);
  for (int64_t i = 0; i < apart.numel(); ++i) {
    apart.data<uint8_t>()[i] = (i + i / 72) % 2 == 0;
  }
  EXPECT_FALSE(detail::pairs_form().applies(Support(apart)));
  EXPECT_EQ(detail::pairs_form().facts(Support(apart)),
            "pairs of channels that read 1 inputs for each product");
}

TEST(Forms, BlocksAreToldFromScatteredWeights) {
  const Shape shape = {10, 3, 3, 3};
  const Support whole(detail::random_mask(shape, 0.3, 4, 9));
  EXPECT_EQ(detail::block_form(whole)->fill, 1.0);
  EXPECT_TRUE(detail::blocks_form().applies(whole));
  // One weight in an eighth position of four channels each: a quarter of its block.
  Tensor one = Tensor::zeros({8, 3, 3, 3}, DType::U8);
  one.data<uint8_t>()[0] = one.data<uint8_t>()[27 * 7 + 5] = 1;
  const Support scattered(one);
  EXPECT_EQ(detail::block_form(scattered)->blocks, 2);
  EXPECT_EQ(detail::block_form(scattered)->fill, 0.25);
  EXPECT_FALSE(detail::blocks_form().applies(scattered));
  EXPECT_EQ(detail::blocks_form().facts(scattered), "blocks of 4x1 filled to 0.25");
  EXPECT_EQ(detail::blocks_form().products(scattered), 8.0 / 216.0);
}

TEST(SupportOrder, ListsKeptPositions) {
  // Two filters, two inputs, a 1x2 kernel.
  const Support p(Tensor::from<uint8_t>({2, 2, 1, 2}, {1, 0, 1, 1, 0, 1, 1, 0}));
  EXPECT_EQ(p.kept(), (std::vector<int32_t>{0, 2, 3, 5, 6}));
  EXPECT_EQ(p.density(), 5.0 / 8.0);
}

}  // namespace
}  // namespace espalier::sparse
