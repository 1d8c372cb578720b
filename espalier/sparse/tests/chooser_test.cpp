// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <espalier/core/tests/temporary_folder.h>
#include <espalier/sparse/choice/chooser.h>

namespace espalier::sparse {
namespace {

Support every(int64_t step, const Shape& shape) {
  Tensor mask = Tensor::zeros(shape, DType::U8);
  for (int64_t i = 0; i < mask.numel(); i += step) mask.data<uint8_t>()[i] = 1;
  return Support(mask);
}

class Chooser : public ::testing::Test {
 protected:
  void TearDown() override { set_chooser_options({}); }

  const Conv2dShape shape_ =
      conv2d_shape({16, 4, 8, 8}, {4, 4, 3, 3}, {.padding = 1}, "chooser test");
  const Support sparse_ = every(10, {4, 4, 3, 3});
  const Support full_ = every(1, {4, 4, 3, 3});
  const Support nearly_full_ = Support(all_but_one({4, 4, 3, 3}));

  static Tensor all_but_one(const Shape& shape) {
    Tensor mask = Tensor::ones(shape, DType::U8);
    mask.data<uint8_t>()[5] = 0;
    return mask;
  }

  KernelChoice choose(const Support& support, Layout layout = Layout::Nchw16n) const {
    return choose_conv2d(shape_, DType::F32, layout, support, Pass::Forward);
  }
};

TEST_F(Chooser, TheRuleSaysWhy) {
  EXPECT_TRUE(choose(sparse_).sparse);
  EXPECT_FALSE(choose(full_).sparse);
  EXPECT_NE(choose(full_).reason.find("density 1"), std::string::npos) << choose(full_).reason;
  EXPECT_FALSE(choose(sparse_, Layout::Nchw).sparse);
  EXPECT_NE(choose(sparse_, Layout::Nchw).reason.find("Nchw16n"), std::string::npos);
  EXPECT_FALSE(choose(sparse_).times);
}

TEST_F(Chooser, TheReasonNamesTheForm) {
  const Conv2dShape linear = conv2d_shape({64, 10, 1, 1}, {8, 10, 1, 1}, {}, "chooser test");
  const auto reason = [&](const std::vector<uint8_t>& row_of_blocks, Pass pass) {
    Tensor mask = Tensor::zeros({8, 10}, DType::U8);
    for (int64_t i = 0; i < mask.numel(); ++i) {
      mask.data<uint8_t>()[i] = row_of_blocks[static_cast<size_t>(i % 40)];
    }
    return choose_conv2d(linear, DType::F32, Layout::Nchw16n, Support(mask), pass).reason;
  };
  // Of ten inputs two, the same for four outputs, and of one more three of the four.
  std::vector<uint8_t> blocks(40);
  for (size_t k = 0; k < 4; ++k) blocks[k * 10] = blocks[k * 10 + 3] = 1;
  for (size_t k = 0; k < 3; ++k) blocks[k * 10 + 7] = 1;
  EXPECT_EQ(reason(blocks, Pass::Forward),
            "blocks of 4x1 filled to 0.92: density with zeros 0.3 is at most 0.85");
  EXPECT_EQ(reason(blocks, Pass::Backward),
            "blocks of 4x1 filled to 0.92: density with zeros 0.3 is at most 0.7");
  // One input for each output, another one for each of four.
  std::vector<uint8_t> single(40);
  for (size_t k = 0; k < 4; ++k) single[k * 10 + k] = 1;
  EXPECT_EQ(reason(single, Pass::Forward), "single weights: density 0.1 is at most 0.5");
  // All but one of each four.
  std::vector<uint8_t> most(40, 1);
  for (size_t i = 0; i < 10; ++i) most[i % 4 * 10 + i] = 0;
  EXPECT_EQ(reason(most, Pass::Forward),
            "blocks of 4x1 filled to 0.75: density with zeros 1 is above 0.85; single weights: "
            "density 0.75 is above 0.5, where dense is about as fast");
  // Two outputs keep every other input, the next two the others: five inputs for ten products.
  std::vector<uint8_t> half(40);
  for (size_t i = 0; i < 40; ++i) half[i] = i / 20 == i % 2;
  EXPECT_EQ(reason(half, Pass::Forward),
            "pairs of channels that read 0.5 inputs for each product: density 0.5 is at most 0.5");
  // There are no pairs backward.
  EXPECT_EQ(reason(half, Pass::Backward), "single weights: density 0.5 is at most 0.5");
}

TEST_F(Chooser, ManyZerosInBlocksDontHideThatFewWeightsAreKept) {
  // Where the dense layer runs by tiles of 2x2, blocks pay up to 0.5 of the products and single
  // weights up to 0.35. Here 75 of 144 positions are in blocks, of 50 of which three weights are
  // kept and of 25 two.
  const Conv2dShape shape =
      conv2d_shape({16, 16, 8, 8}, {16, 16, 3, 3}, {.padding = 1}, "chooser test");
  Tensor mask = Tensor::zeros({16, 16, 3, 3}, DType::U8);
  for (int64_t k = 0; k < 16; ++k) {
    for (int64_t i = 0; i < 75; ++i) {
      mask.data<uint8_t>()[k * 144 + i] = k % 4 < (i % 3 < 2 ? 3 : 2);
    }
  }
  const KernelChoice choice =
      choose_conv2d(shape, DType::F32, Layout::Nchw16n, Support(mask), Pass::Forward);
  EXPECT_TRUE(choice.sparse);
  EXPECT_EQ(choice.reason,
            "blocks of 4x1 filled to 0.67: density with zeros 0.5208 is above 0.5; single weights: "
            "density 0.3472 is at most 0.35");
}

TEST_F(Chooser, ComparesWhatKernelsExecute) {
  const Conv2dShape wide =
      conv2d_shape({16, 16, 8, 8}, {16, 16, 3, 3}, {.padding = 1}, "chooser test");
  const auto forward = [&](const Support& support) {
    return choose_conv2d(wide, DType::F32, Layout::Nchw16n, support, Pass::Forward).sparse;
  };
  // Two of five weights: past what pays against Winograd's algorithm, which this shape runs by.
  Tensor two_of_five = Tensor::zeros({16, 16, 3, 3}, DType::U8);
  for (int64_t i = 0; i < two_of_five.numel(); ++i) two_of_five.data<uint8_t>()[i] = i % 5 < 2;
  EXPECT_FALSE(forward(Support(two_of_five)));
  set_conv2d_algorithm(Conv2dAlgorithm::Direct);
  EXPECT_TRUE(forward(Support(two_of_five)));
  set_conv2d_algorithm(Conv2dAlgorithm::Auto);
  // The first two of every five positions of all output channels: blocks, whose kernel pays longer.
  Tensor blocks = Tensor::zeros({16, 16, 3, 3}, DType::U8);
  for (int64_t i = 0; i < blocks.numel(); ++i) blocks.data<uint8_t>()[i] = i % 144 % 5 < 2;
  EXPECT_TRUE(forward(Support(blocks)));
  // Three quarters at random look like filled blocks, whose kernel would do nearly all products.
  Tensor most = Tensor::ones({16, 16, 3, 3}, DType::U8);
  for (int64_t i = 0; i < most.numel(); ++i) most.data<uint8_t>()[i] = i / 144 % 4 != i % 4;
  EXPECT_FALSE(forward(Support(most)));
}

TEST_F(Chooser, RequiringSparseMakesAFallbackAnErrorThatNamesTheReason) {
  EXPECT_FALSE(takes_sparse_conv2d(
      shape_, DType::F32, Layout::Nchw16n, nearly_full_, Pass::Backward, "some op"));
  set_chooser_options({.require_sparse = true});
  EXPECT_TRUE(
      takes_sparse_conv2d(shape_, DType::F32, Layout::Nchw16n, sparse_, Pass::Backward, "some op"));
  testing::expect_error<ValueError>(
      [&] {
        takes_sparse_conv2d(
            shape_, DType::F32, Layout::Nchw16n, nearly_full_, Pass::Backward, "some op");
      },
      {"some op", "(4,4,3,3)", "is above 0.5"});
  // Nothing is lost where nothing was removed.
  EXPECT_FALSE(
      takes_sparse_conv2d(shape_, DType::F32, Layout::Nchw16n, full_, Pass::Backward, "some op"));
}

TEST_F(Chooser, ADryRunMayFallBack) {
  set_chooser_options({.require_sparse = true});
  const KernelChoice dense = {.reason = "of a reason"};
  {
    const DryRunScope outer;
    { const DryRunScope inner; }
    EXPECT_NO_THROW(check_fallback(dense, nearly_full_, "some layer"));
    EXPECT_FALSE(
        takes_sparse_conv2d(shape_, DType::F32, Layout::Nchw, sparse_, Pass::Forward, "some op"));
  }
  // 143 of 144 weights are left.
  testing::expect_error<ValueError>([&] { check_fallback(dense, nearly_full_, "some layer"); },
                                    {"some layer at density 0.99", "of a reason"});
  EXPECT_NO_THROW(check_fallback({true, "of a measurement"}, nearly_full_, "some layer"));
  EXPECT_NO_THROW(check_fallback(dense, full_, "some layer"));
}

TEST_F(Chooser, MeasuresOnceAndRemembersInAFile) {
  const testing::TemporaryFolder folder;
  const auto file = folder.path() / "kernels.json";
  set_chooser_options({.measure = true, .file = file});
  const KernelChoice first = choose(sparse_);
  ASSERT_TRUE(first.times);
  EXPECT_GT(first.times->sparse, 0.0);
  EXPECT_GT(first.times->dense, 0.0);
  EXPECT_EQ(first.sparse, first.times->sparse < first.times->dense);
  ASSERT_TRUE(std::filesystem::exists(file));
  // A second process would read the file: the same times to the last digit, so not measured again.
  set_chooser_options({.measure = true, .file = file});
  const KernelChoice second = choose(sparse_);
  EXPECT_EQ(second.times->sparse, first.times->sparse);
  EXPECT_EQ(second.times->dense, first.times->dense);
}

TEST_F(Chooser, TheFileDecides) {
  const testing::TemporaryFolder folder;
  const auto file = folder.path() / "kernels.json";
  set_chooser_options({.measure = true, .file = file});
  choose(sparse_);
  const std::string text = testing::slurp(file);
  const std::string key = text.substr(text.find('"') + 1, text.rfind('"') - text.find('"') - 1);
  folder.write("kernels.json", "{\"" + key + "\": [9.0, 1.0]}");
  set_chooser_options({.measure = true, .file = file});
  EXPECT_FALSE(choose(sparse_).sparse);
}

TEST_F(Chooser, RefusesAFileThatIsNotOne) {
  const testing::TemporaryFolder folder;
  const auto file = folder.path() / "kernels.json";
  for (const char* text : {"", "[1, 2]", "{\"a\": [1]}", "{\"a\": [1, \"b\"]}", "{"}) {
    folder.write("kernels.json", text);
    EXPECT_THROW(set_chooser_options({.measure = true, .file = file}), IoError) << text;
    EXPECT_FALSE(chooser_options().measure);
  }
}

}  // namespace
}  // namespace espalier::sparse
