// SPDX-License-Identifier: Apache-2.0
// 8-bit networks: rounding in training, integers in evaluation, calibration, files.
#include <espalier/autograd/ops.h>
#include <espalier/core/mac_counter.h>
#include <espalier/core/parallel.h>
#include <espalier/core/tests/temporary_folder.h>
#include <espalier/nn/compress/edc_file.h>
#include <espalier/nn/introspect/counting.h>
#include <espalier/nn/models/registry.h>
#include <espalier/nn/module/trace.h>
#include <espalier/nn/plan/plan.h>
#include <espalier/nn/quantize/quantize.h>
#include <espalier/nn/train/sgd.h>

#include "support.h"

namespace espalier::nn {
namespace {

using espalier::testing::TemporaryFolder;

TEST(LayerQuantizer, RoundsByHandAndCutsTheGradientOutsideOfTheRange) {
  LayerQuantizer quantizer;
  quantizer.set_range(-1.0, 2.0);  // scale 3/255, zero at 85
  quantizer.eval();
  const Variable x(Tensor::from<float>({1, 6}, {-1.0F, 0.0F, 0.4F, 2.0F, 2.5F, -1.2F}), true);
  const Variable y = quantizer(x);
  const std::vector<float> expected = {-1.0F, 0.0F, 0.4F, 2.0F, 2.0F, -1.0F};
  for (int64_t i = 0; i < 6; ++i) {
    EXPECT_NEAR(y.value().at({0, i}), expected[static_cast<size_t>(i)], 1e-6);
  }
  sum(y).backward();
  for (size_t inside = 0; inside < 4; ++inside) {  // both ends are
    EXPECT_EQ(values(x.grad().value())[inside], 1.0) << inside;
  }
  EXPECT_EQ(values(x.grad().value())[4], 0.0);
  EXPECT_EQ(values(x.grad().value())[5], 0.0);
}

TEST(LayerQuantizer, TheRangeFollowsTrainingByAMovingAverageUntilFrozen) {
  LayerQuantizer quantizer;
  const auto feed = [&](float low, float high) {
    quantizer(Variable(Tensor::from<float>({2}, {low, high})));
  };
  EXPECT_FALSE(quantizer.calibrated());
  EXPECT_THROW(quantizer.grid(), ValueError);
  feed(-1.0F, 2.0F);
  EXPECT_EQ(quantizer.grid(), sparse::affine_grid(-1.0, 2.0));
  feed(-2.0F, 4.0F);
  EXPECT_NEAR(quantizer.grid().scale, (1.01 + 2.02) / 255, 1e-7);
  quantizer.freeze(true);
  feed(-100.0F, 100.0F);
  EXPECT_NEAR(quantizer.grid().scale, (1.01 + 2.02) / 255, 1e-7);
  quantizer.freeze(false);
  quantizer.eval();
  feed(-100.0F, 100.0F);
  EXPECT_NEAR(quantizer.grid().scale, (1.01 + 2.02) / 255, 1e-7);
}

TEST(FakeQuantizeWeight, HasAScalePerChannelAndPassesTheGradientToAll) {
  // 0.3 and -0.6 times the inverse of their scale are a bit more than 127 in float32.
  const Variable w(
      Tensor::from<float>(
          {4, 3}, {1.27F, 0.0F, -0.644F, 0.0F, 0.0F, 0.0F, 0.3F, 0.1F, -0.2F, -0.6F, 0.5F, 0.0F}),
      true);
  const Variable q = fake_quantize_weight(w);
  EXPECT_NEAR(q.value().at({2, 0}), 0.3, 1e-6);
  EXPECT_NEAR(q.value().at({3, 0}), -0.6, 1e-6);
  EXPECT_NEAR(q.value().at({0, 2}), -0.64, 1e-6);
  EXPECT_EQ(q.value().at({0, 1}), 0.0);
  EXPECT_EQ(q.value().at({1, 1}), 0.0);
  sum(q).backward();
  for (const int64_t channel : {0, 2, 3}) {
    for (int64_t i = 0; i < 3; ++i) {
      EXPECT_NEAR(w.grad().value().at({channel, i}), 1.0, 1e-6) << channel << i;
    }
  }
}

TEST(Quantize, FoldingABatchNormByHandAndNoIntegerChanges) {
  const Tensor w = Tensor::from<float>({2, 2}, {1.0F, -0.5F, 0.3F, 0.9F});
  const Tensor gamma = Tensor::from<float>({2}, {2.0F, 0.5F});
  const Tensor beta = Tensor::from<float>({2}, {1.0F, -1.0F});
  const Tensor mean = Tensor::from<float>({2}, {0.5F, 2.0F});
  const Tensor variance = Tensor::from<float>({2}, {3.0F, 0.0F});
  const Folded folded = fold_batch_norm(w, {}, gamma, beta, mean, variance, 1.0);
  // Factors 2/2 and 0.5/1.
  EXPECT_EQ(values(folded.weight),
            values(Tensor::from<float>({2, 2}, {1.0F, -0.5F, 0.15F, 0.45F})));
  EXPECT_NEAR(folded.bias.at({0}), 1.0 - 0.5, 1e-7);
  EXPECT_NEAR(folded.bias.at({1}), -1.0 - 2.0 * 0.5, 1e-7);
  EXPECT_EQ(sparse::quantize_weight(folded.weight).q, sparse::quantize_weight(w).q);
}

std::unique_ptr<Module> pruned_net(uint64_t seed = 1) {
  auto net = tiny_net(seed);
  for (const NamedParameter& weight : prunable_parameters(*net)) {
    weight.parameter->set_mask(two_thirds_mask(weight.parameter->shape()));
  }
  return net;
}

data::Loader stripe_loader() {
  return {stripes(48), {.batch_size = 20, .seed = 1, .workers = 0}};
}

std::unique_ptr<Module> calibrated_net() {
  auto net = pruned_net();
  EXPECT_TRUE(attach_quantizers(*net).empty());
  data::Loader loader = stripe_loader();
  calibrate(*net, loader, {});
  return net;
}

TEST(Quantize, IntegersEqualTheRoundedFloatGraph) {
  auto net = calibrated_net();
  const EvalScope eval(*net);
  for (const Layout layout : {Layout::Nchw, Layout::Nchw16n}) {
    const Variable x(random_tensor({19, 1, 8, 8}, 4).to(layout));
    const Variable rounded = (*net)(x);  // recording: float32 ops
    const NoGrad no_grad;
    const Variable integers = (*net)(x);
    EXPECT_EQ(integers.layout(), rounded.layout());
    EXPECT_LT(max_difference(integers.value(), rounded.value()), 1e-4);
    EXPECT_GT(max_difference(integers.value(), (*pruned_net())(x).value()), 1e-6);
  }
}

TEST(Quantize, SequencesAndLinearLayersInEveryLayoutAgree) {
  Linear layer({.in = 7, .out = 5});
  init_parameters(layer, 3);
  attach_quantizers(layer);
  dynamic_cast<LayerQuantizer&>(*layer.form).set_range(-1.0, 1.0);
  layer.eval();
  const Tensor x = random_tensor({4, 3, 7}, 2);
  const Tensor recorded = layer(Variable(x)).value();
  const NoGrad no_grad;
  const Tensor sequence = layer(Variable(x)).value();
  EXPECT_EQ(sequence.shape(), (Shape{4, 3, 5}));
  EXPECT_LT(max_difference(sequence, recorded), 1e-5);
  const Tensor flat = x.reshape({12, 7});
  const Tensor lanes = layer(Variable(flat.to(Layout::Nchw16n))).value();
  EXPECT_EQ(max_difference(lanes, sequence.reshape({12, 5})), 0.0);
}

TEST(Quantize, PrunedWeightsCostNothingAndRoundingOnlyAddsZeros) {
  auto net = calibrated_net();
  for (const QuantizedLayer& layer : quantized_layers(*net)) {
    EXPECT_LE(layer.nonzero, layer.nonzero_float) << layer.name;
    EXPECT_GT(layer.nonzero, 0) << layer.name;
    EXPECT_LE(layer.least, 0.0);
    EXPECT_GE(layer.largest, 0.0);
  }
  // A filter that is gone leaves no block.
  auto& conv = net->parameter("conv.weight");
  conv.set_mask(Tensor::zeros(conv.shape(), DType::U8));
  const EvalScope eval(*net);
  const NoGrad no_grad;
  Module& layer = *net->named_modules()[1].module;
  const MacCounter counter;
  layer(Variable(random_tensor({16, 1, 8, 8}, 4)));
  EXPECT_EQ(counter.macs(), 0);
}

TEST(Quantize, AChangedWeightIsSeenAtOnce) {
  auto net = calibrated_net();
  const EvalScope eval(*net);
  const NoGrad no_grad;
  const Variable x(random_tensor({3, 1, 8, 8}, 4));
  const Tensor before = (*net)(x).value().clone();
  Tensor& weight = net->parameter("fc.weight").value.value();
  weight.data<float>()[1] += 0.5F;
  EXPECT_GT(max_difference((*net)(x).value(), before), 1e-3);
}

TEST(Quantize, TrainingMovesWeightsKeepsMasksAndEndsInIntegers) {
  auto net = pruned_net();
  attach_quantizers(*net);
  QuantizationAware aware(0.5);
  Sgd sgd(*net, {.lr = 0.1, .momentum = 0.9}, 0.0);
  data::Loader loader = stripe_loader();
  fit(*net, sgd, ConstantLr(0.1), loader, {&aware}, {.epochs = 20});
  for (const NamedParameter& weight : prunable_parameters(*net)) {
    const auto w = values(weight.parameter->value.value());
    for (size_t i = 0; i < w.size(); i += 3) ASSERT_EQ(w[i], 0.0) << weight.name;
  }
  EXPECT_GT(evaluate(*net, loader).accuracy(), 0.9);
}

TEST(Quantize, ARangeStandsStillFromTheFreezeOn) {
  auto net = pruned_net();
  attach_quantizers(*net);
  struct Watch : TrainHook {
    void after_step(TrainState& state) override {
      ranges.push_back(values(state.model.state_dict().at("fc.quantizer.range")));
    }
    std::vector<std::vector<double>> ranges;
  } watch;
  QuantizationAware aware(0.5);
  Sgd sgd(*net, {.lr = 0.05, .momentum = 0.9}, 0.0);
  data::Loader loader = stripe_loader();
  fit(*net, sgd, ConstantLr(0.05), loader, {&aware, &watch}, {.epochs = 4});
  ASSERT_EQ(watch.ranges.size(), 12U);
  EXPECT_NE(watch.ranges[4], watch.ranges[5]);
  for (size_t step = 6; step < 12; ++step) EXPECT_EQ(watch.ranges[step], watch.ranges[5]) << step;
}

TEST(Calibrate, MethodsChooseRangesByHand) {
  // 999 of 1000 in the lowest of ten bins over 0..10, one at the end.
  Histogram seen{.least = 0.0, .largest = 10.0, .counts = std::vector<int64_t>(10, 0)};
  seen.counts[0] = 999;
  seen.counts[9] = 1;
  using Range = std::pair<double, double>;
  EXPECT_EQ(choose_range(seen, {.method = Calibration::MinMax}), (Range{0.0, 10.0}));
  EXPECT_EQ(choose_range(seen, {.method = Calibration::Percentile, .percentile = 0.999}),
            (Range{0.0, 1.0}));
  EXPECT_EQ(choose_range(seen, {.method = Calibration::Percentile, .percentile = 0.9999}),
            (Range{0.0, 10.0}));
  // A range with a step of 0.5/12 hits the 999 exactly enough; one outlier is cheap to cut.
  const Range mse = choose_range(seen, {.method = Calibration::Mse});
  EXPECT_EQ(mse.first, 0.0);
  EXPECT_LE(mse.second, 10.0);
  const auto error = [&](double high) {
    const sparse::AffineGrid grid = sparse::affine_grid(0.0, high);
    double sum = 0.0;
    for (size_t bin = 0; bin < 10; ++bin) {
      const double middle = static_cast<double>(bin) + 0.5;
      const double off = middle - grid.dequantize(grid.quantize(static_cast<float>(middle)));
      sum += static_cast<double>(seen.counts[bin]) * off * off;
    }
    return sum;
  };
  for (int share = 20; share <= 100; ++share) EXPECT_LE(error(mse.second), error(share * 0.1));
}

TEST(Calibrate, PaddingLanesAndBatchesDoNotMatter) {
  const auto ranges = [](int64_t batch, Layout layout) {
    auto net = pruned_net();
    attach_quantizers(*net);
    data::Loader loader(stripes(48),
                        {.batch_size = batch, .layout = layout, .seed = 1, .workers = 0});
    calibrate(*net, loader, {.method = Calibration::Percentile, .percentile = 0.97});
    return snapshot({{"conv", net->state_dict().at("conv.quantizer.range")},
                     {"calibrated", net->state_dict().at("fc.quantizer.calibrated")}});
  };
  EXPECT_EQ(ranges(48, Layout::Nchw16n), ranges(17, Layout::Nchw16n));
  EXPECT_EQ(ranges(48, Layout::Nchw16n), ranges(48, Layout::Nchw));
}

TEST(Calibrate, RefusesWhatItCannotDo) {
  auto net = pruned_net();
  data::Loader loader = stripe_loader();
  EXPECT_THROW(calibrate(*net, loader, {}), ValueError);
  attach_quantizers(*net);
  EXPECT_THROW(calibrate(*net, loader, {.percentile = 0.2}), ValueError);
  const EvalScope eval(*net);
  const NoGrad no_grad;
  EXPECT_THROW((*net)(Variable(random_tensor({1, 1, 8, 8}, 1))), ValueError);  // no range yet
}

TEST(Quantize, SavedLoadedAndClonedNetworksComputeTheSame) {
  const TemporaryFolder folder;
  const ModelOptions options{.num_classes = 3, .image = {1, 28, 28}};
  auto net = make_model("lenet5", options);
  attach_quantizers(*net);
  for (const NamedModule& part : net->named_modules()) {
    if (auto* q = dynamic_cast<LayerQuantizer*>(part.module)) q->set_range(-0.5, 1.5);
  }
  save_model(folder / "net.safetensors", "lenet5", options, *net);
  const SavedModel back = load_model(folder / "net.safetensors");
  EXPECT_TRUE(is_quantized(*back.module));
  compress::save_edc(
      folder / "net.edc", "lenet5", options, *net, {.values = {.conv = 16, .fc = 16}, .gaps = {}});
  const SavedModel small = compress::load_edc(folder / "net.edc");
  EXPECT_TRUE(is_quantized(*small.module));
  const std::unique_ptr<Module> copy = net->clone();
  dynamic_cast<LayerQuantizer&>(*net->named_modules()[2].module).set_range(-9.0, 9.0);
  const NoGrad no_grad;
  back.module->eval();
  copy->eval();
  const Variable x(random_tensor({3, 1, 28, 28}, 2));
  EXPECT_EQ(max_difference((*copy)(x).value(), (*back.module)(x).value()), 0.0);
}

TEST(Quantize, APlanRefusesRatherThanComputeInFloat) {
  auto net = calibrated_net();
  net->eval();
  testing::expect_error<NotImplemented>(
      [&] {
        compile(*net, Variable(random_tensor({16, 1, 8, 8}, 2)));
      },
      {"int8 quantizers"});
}

TEST(Quantize, LayersWithoutAKernelAreNamed) {
  auto gpt = make_model("gpt", {});
  const std::vector<std::string> left = attach_quantizers(*gpt);
  EXPECT_TRUE(is_quantized(*gpt));
  for (const std::string& name : left) EXPECT_NE(name.find("attn"), std::string::npos) << name;
}

}  // namespace
}  // namespace espalier::nn
