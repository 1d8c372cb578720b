// SPDX-License-Identifier: Apache-2.0
// The parts of Deep Compression by hand-worked cases; the .edc file round trip; bad files.
#include <map>
#include <numeric>
#include <set>
#include <span>

#include <espalier/core/io.h>
#include <espalier/core/tests/temporary_folder.h>
#include <espalier/nn/compress/coded_weight.h>
#include <espalier/nn/compress/edc_file.h>
#include <espalier/nn/compress/huffman.h>
#include <espalier/nn/compress/kmeans.h>
#include <espalier/nn/compress/relative_index.h>
#include <espalier/nn/introspect/counting.h>
#include <espalier/nn/module/trace.h>
#include <espalier/nn/train/sgd.h>

#include "support.h"

namespace espalier::nn::compress {
namespace {

using espalier::testing::TemporaryFolder;

TEST(Kmeans, LinearStartAndCentroidsByHand) {
  const std::vector<float> w = {-1.0F, -0.9F, 0.02F, 0.1F, 0.95F, 1.05F};
  const std::vector<double> start = linear_centroids(w, 3);
  ASSERT_EQ(start.size(), 3U);
  EXPECT_NEAR(start[0], -1.0, 1e-7);
  EXPECT_NEAR(start[1], 0.025, 1e-7);
  EXPECT_NEAR(start[2], 1.05, 1e-7);
  const Clusters clusters = kmeans(w, 3);
  ASSERT_EQ(clusters.centroids.size(), 3U);
  EXPECT_NEAR(clusters.centroids[0], -0.95, 1e-7);
  EXPECT_NEAR(clusters.centroids[1], 0.06, 1e-7);
  EXPECT_NEAR(clusters.centroids[2], 1.0, 1e-7);
  EXPECT_EQ(clusters.index, (std::vector<uint32_t>{0, 0, 1, 1, 2, 2}));
}

TEST(Kmeans, EndsWhereNoValueIsNearerToAnotherCentroid) {
  std::vector<float> w(500);
  Rng rng(3, "test");
  for (float& v : w) v = static_cast<float>(rng.normal());
  const Clusters clusters = kmeans(w, 16);
  std::vector<double> sums(clusters.centroids.size(), 0.0);
  std::vector<int> members(clusters.centroids.size(), 0);
  for (size_t i = 0; i < w.size(); ++i) {
    const double own = std::abs(w[i] - clusters.centroids[clusters.index[i]]);
    for (const float c : clusters.centroids) EXPECT_LE(own, std::abs(w[i] - c) + 1e-6);
    sums[clusters.index[i]] += w[i];
    ++members[clusters.index[i]];
  }
  for (size_t j = 0; j < sums.size(); ++j) {
    ASSERT_GT(members[j], 0);
    EXPECT_NEAR(clusters.centroids[j], sums[j] / members[j], 1e-6);
  }
}

TEST(Kmeans, FewDistinctValuesStayExactly) {
  // Linear starts at -10, -3.33, 3.33, 10 would join 0.1 and 0.2.
  const std::vector<float> w = {0.2F, -10.0F, 0.1F, 10.0F, 0.2F};
  const Clusters clusters = kmeans(w, 4);
  EXPECT_EQ(clusters.centroids, (std::vector<float>{-10.0F, 0.1F, 0.2F, 10.0F}));
  for (size_t i = 0; i < w.size(); ++i) {
    EXPECT_EQ(clusters.centroids[clusters.index[i]], w[i]);
  }
}

TEST(Kmeans, DropsClustersWithoutMembersAndTakesNothing) {
  const std::vector<float> w = {0.0F, 0.1F, 0.2F, 0.3F, 100.0F};
  const Clusters clusters = kmeans(w, 4);
  EXPECT_EQ(clusters.centroids.size(), 2U);
  EXPECT_EQ(clusters.index, (std::vector<uint32_t>{0, 0, 0, 0, 1}));
  EXPECT_TRUE(kmeans({}, 4).centroids.empty());
  EXPECT_THROW(kmeans(w, 0), ValueError);
  EXPECT_THROW(kmeans(std::vector<float>{1.0F, NAN}, 2), ValueError);
}

TEST(Kmeans, SharingRatioIsThePapersFormula) {
  EXPECT_NEAR(sharing_ratio(6, 3), 192.0 / 108.0, 1e-12);
  // The paper's figure 3: 16 weights, 4 centroids, 3.2 times.
  EXPECT_NEAR(sharing_ratio(16, 4), 3.2, 1e-12);
}

TEST(RelativeIndex, BridgesAWideGapWithAFiller) {
  const std::vector<int64_t> positions = {0, 3, 20};
  const RelativeIndex index = encode_positions(positions, 4);
  EXPECT_EQ(index.gaps, (std::vector<uint32_t>{0, 3, 15, 2}));
  EXPECT_EQ(index.filler, (std::vector<bool>{false, false, true, false}));
  EXPECT_EQ(decode_positions(index, 21), positions);
  EXPECT_THROW(decode_positions(index, 20), ValueError);
}

TEST(RelativeIndex, GapsAtTheWidthNeedNoFillerAndOneMoreDoes) {
  EXPECT_EQ(encode_positions(std::vector<int64_t>{15, 30}, 4).gaps,
            (std::vector<uint32_t>{15, 15}));
  EXPECT_EQ(encode_positions(std::vector<int64_t>{16}, 4).gaps, (std::vector<uint32_t>{15, 1}));
  EXPECT_TRUE(encode_positions({}, 4).gaps.empty());
  EXPECT_THROW(encode_positions(std::vector<int64_t>{3, 3}, 4), ValueError);
  EXPECT_THROW(encode_positions(std::vector<int64_t>{-1}, 4), ValueError);
  EXPECT_THROW(encode_positions(std::vector<int64_t>{1}, 17), ValueError);
}

TEST(Huffman, PowersOfTwoCostTheirEntropy) {
  const std::vector<int64_t> counts = {50, 25, 12, 13};  // 1/2, 1/4, 1/8, 1/8 but for rounding
  const std::vector<int64_t> exact = {4, 2, 1, 1};
  const HuffmanCode code = HuffmanCode::of_counts(exact);
  EXPECT_EQ(code.lengths(), (std::vector<uint8_t>{1, 2, 3, 3}));
  EXPECT_EQ(code.total_bits(exact), 14);  // 1.75 bits for each of 8
  EXPECT_EQ(HuffmanCode::of_counts(counts).lengths(), (std::vector<uint8_t>{1, 2, 3, 3}));
}

TEST(Huffman, CodesAreCanonicalAndNoPrefixOfAnother) {
  const HuffmanCode code = HuffmanCode::of_lengths({2, 0, 1, 3, 3});
  // By length and then by number: 2 -> 0, 0 -> 10, 3 -> 110, 4 -> 111.
  BitWriter out;
  for (const uint32_t symbol : {2U, 0U, 3U, 4U}) code.write(symbol, out);
  const std::vector<uint8_t> bytes = out.finish();
  EXPECT_EQ(bytes, (std::vector<uint8_t>{0b01011011, 0b10000000}));
  BitReader in(bytes);
  for (const uint32_t symbol : {2U, 0U, 3U, 4U}) EXPECT_EQ(code.read(in), symbol);
  EXPECT_TRUE(in.finished());
  BitWriter more;
  EXPECT_THROW(code.write(1, more), ValueError);
}

TEST(Huffman, IsWithinOneBitOfEntropyAndDecodesExactly) {
  Rng rng(5, "test");
  std::vector<uint32_t> text(4000);
  for (uint32_t& symbol : text) {
    symbol = static_cast<uint32_t>(std::min(31.0, std::abs(rng.normal()) * 8.0));
  }
  std::vector<int64_t> counts(33, 0);
  for (const uint32_t symbol : text) ++counts[symbol];
  const HuffmanCode code = HuffmanCode::of_counts(counts);
  double entropy = 0.0;
  for (const int64_t count : counts) {
    if (count > 0) entropy -= static_cast<double>(count) * std::log2(count / 4000.0);
  }
  const auto bits = static_cast<double>(code.total_bits(counts));
  EXPECT_GE(bits, entropy);
  EXPECT_LT(bits, entropy + 4000.0);
  BitWriter out;
  for (const uint32_t symbol : text) code.write(symbol, out);
  const std::vector<uint8_t> bytes = out.finish();
  EXPECT_EQ(static_cast<int64_t>(bytes.size()), (code.total_bits(counts) + 7) / 8);
  BitReader in(bytes);
  for (const uint32_t symbol : text) ASSERT_EQ(code.read(in), symbol);
}

TEST(Huffman, VeryUnequalCountsGiveLongCodesThatDecode) {
  std::vector<int64_t> counts = {1, 1};
  while (counts.size() < 50) counts.push_back(counts.back() + counts[counts.size() - 2]);
  const HuffmanCode code = HuffmanCode::of_counts(counts);
  EXPECT_EQ(code.lengths()[0], 49);
  BitWriter out;
  for (const uint32_t symbol : {0U, 49U, 1U, 25U}) code.write(symbol, out);
  const std::vector<uint8_t> bytes = out.finish();
  BitReader in(bytes);
  for (const uint32_t symbol : {0U, 49U, 1U, 25U}) EXPECT_EQ(code.read(in), symbol);
}

TEST(Huffman, RefusesLengthsThatNoCodeHas) {
  EXPECT_THROW(HuffmanCode::of_lengths({1, 1, 1}), IoError);
  EXPECT_THROW(HuffmanCode::of_lengths({1, 2}), IoError);
  EXPECT_THROW(HuffmanCode::of_lengths({63}), IoError);
  EXPECT_THROW(HuffmanCode::of_lengths({2}), IoError);
  const HuffmanCode lone = HuffmanCode::of_lengths({0, 1});
  const std::vector<uint8_t> bytes = {0b01000000};
  BitReader in(bytes);
  EXPECT_EQ(lone.read(in), 1U);
  EXPECT_THROW(lone.read(in), IoError);  // 1 starts no code
}

TEST(CodedWeight, DecodesExactlyAtEveryDensity) {
  for (const double density : {0.0, 0.001, 0.1, 0.5, 1.0}) {
    for (const int gap_bits : {1, 5, 8}) {
      constexpr int64_t kSize = 3000;
      Rng rng(7, "test");
      KeptValues kept;
      for (int64_t i = 0; i < kSize; ++i) {
        if (rng.uniform() >= density) continue;
        kept.positions.push_back(i);
        kept.values.push_back(static_cast<float>(rng.below(20)) * 0.1F - 1.0F);
      }
      ByteWriter out;
      const CodedSize size = write_weight(kept, 5, gap_bits, out);
      EXPECT_EQ(size.kept, static_cast<int64_t>(kept.values.size()));
      ByteReader in(out.bytes(), "test");
      const KeptValues back = read_weight(in, kSize);
      EXPECT_EQ(back.positions, kept.positions) << density << " " << gap_bits;
      EXPECT_EQ(back.values, kept.values) << density << " " << gap_bits;
      EXPECT_EQ(in.left(), 0);
    }
  }
}

Parameter vector_parameter(const std::vector<float>& values) {
  return Parameter(Tensor::from<float>({1, static_cast<int64_t>(values.size())}, values));
}

TEST(WeightSharing, AMembersGradientIsItsClustersSum) {
  Linear layer({.in = 6, .out = 1, .bias = false});
  layer.weight = vector_parameter({-1.0F, -1.0F, 0.06F, 0.0F, 1.0F, 0.5F});
  WeightSharing sharing({.conv = 2, .fc = 2});
  sharing.share(prunable_parameters(layer), nullptr);
  EXPECT_EQ(sharing.clusters().at("weight"), 4);  // the zero has none
  layer.weight.value.set_grad(
      Variable(Tensor::from<float>({1, 6}, {0.1F, -0.3F, 0.25F, 9.0F, 0.5F, 0.125F})));
  sharing.after_backward(layer);
  const auto sums = layer.weight.value.grad().value().to_vector<float>();
  EXPECT_NEAR(sums[0], -0.2F, 1e-7F);
  EXPECT_EQ(sums[0], sums[1]);
  EXPECT_EQ(sums[2], 0.25F);
  EXPECT_EQ(sums[3], 0.0F);  // a weight that is not there stays out
}

TEST(WeightSharing, TrainingMovesCentroidsOnly) {
  auto net = tiny_net();
  auto& conv = dynamic_cast<Conv2d&>(*net->named_modules()[1].module);
  conv.weight.set_mask(two_thirds_mask(conv.weight.shape()));
  WeightSharing sharing({.conv = 3, .fc = 2});
  Sgd sgd(*net, {.lr = 0.01, .momentum = 0.9}, 1e-3);
  sharing.share(prunable_parameters(*net), &sgd);
  struct Hook : TrainHook {
    explicit Hook(WeightSharing& s) : sharing(s) {}
    void after_backward(TrainState& state) override { sharing.after_backward(state.model); }
    void after_step(TrainState& state) override { sharing.after_step(state.model); }
    WeightSharing& sharing;
  } hook(sharing);
  const auto before = snapshot(net->state_dict());
  data::Loader loader(stripes(48), {.batch_size = 16, .seed = 1, .workers = 0});
  fit(*net, sgd, ConstantLr(0.01), loader, {&hook}, {.epochs = 2});
  for (const auto& [name, clusters] : sharing.clusters()) {
    const std::vector<double> old = before.at(name);
    const std::vector<double> now = values(net->parameter(name).value.value());
    std::map<double, std::set<double>> moved;
    for (size_t i = 0; i < now.size(); ++i) moved[old[i]].insert(now[i]);
    for (const auto& [from, to] : moved) EXPECT_EQ(to.size(), 1U) << name << " " << from;
    EXPECT_NE(old, now) << name;
    moved.erase(0.0);
    EXPECT_EQ(static_cast<int64_t>(moved.size()), clusters) << name;
  }
  const auto weights = values(conv.weight.value.value());
  for (size_t i = 0; i < weights.size(); i += 3) EXPECT_EQ(weights[i], 0.0);
}

TEST(WeightSharing, StateRoundTripsAndRefusesAChangedMask) {
  auto net = tiny_net();
  WeightSharing sharing({.conv = 3, .fc = 2});
  sharing.share(prunable_parameters(*net), nullptr);
  WeightSharing other({.conv = 3, .fc = 2});
  EXPECT_FALSE(other.active());
  other.load_state(sharing.state());
  EXPECT_TRUE(other.active());
  EXPECT_EQ(other.clusters(), sharing.clusters());
  auto& fc = net->parameter("fc.weight");
  fc.set_mask(two_thirds_mask(fc.shape()));
  EXPECT_THROW(other.after_step(*net), ValueError);
}

// A small network of the zoo with masks, a masked bias, and dead layers.
SavedModel pruned_lenet() {
  SavedModel saved{
      .name = "lenet5", .options = {.num_classes = 10, .image = {1, 28, 28}}, .module = {}};
  saved.module = make_model(saved.name, saved.options);
  Rng rng(11, "test");
  for (const NamedParameter& weight : prunable_parameters(*saved.module)) {
    std::vector<uint8_t> mask(static_cast<size_t>(weight.parameter->numel()));
    for (uint8_t& m : mask) m = rng.uniform() < 0.08 ? 1 : 0;
    weight.parameter->set_mask(Tensor::from<uint8_t>(weight.parameter->shape(), mask));
  }
  Parameter& bias = saved.module->parameter("fc1.bias");
  bias.set_mask(two_thirds_mask(bias.shape()));
  return saved;
}

TEST(EdcFile, ASharedNetworkComesBackExactlyWithItsMasks) {
  const TemporaryFolder folder;
  SavedModel saved = pruned_lenet();
  WeightSharing sharing({.conv = 8, .fc = 5});
  sharing.share(prunable_parameters(*saved.module), nullptr);
  const EdcReport report =
      save_edc(folder / "net.edc", saved.name, saved.options, *saved.module, {});
  EXPECT_TRUE(is_edc(folder / "net.edc"));
  SavedModel back = load_edc(folder / "net.edc");
  EXPECT_EQ(back.name, "lenet5");
  EXPECT_EQ(snapshot(back.module->state_dict()), snapshot(saved.module->state_dict()));
  EXPECT_TRUE(back.module->parameter("conv1.weight").masked());
  EXPECT_EQ(report.file_bytes,
            static_cast<int64_t>(std::filesystem::file_size(folder / "net.edc")));
  EXPECT_EQ(report.dense_bytes, 4 * 431'080);
  EXPECT_GT(report.ratio(), 30.0);
  const Variable x(random_tensor({3, 1, 28, 28}, 4));
  const EvalScope a(*saved.module);
  const EvalScope b(*back.module);
  EXPECT_EQ(max_difference((*saved.module)(x).value(), (*back.module)(x).value()), 0.0);
}

TEST(EdcFile, AnUnsharedNetworkIsClusteredAndADenseOneKeepsNoMask) {
  SavedModel saved{.name = "resnet20", .options = {.num_classes = 10, .width = 0.25}, .module = {}};
  saved.module = make_model(saved.name, saved.options);
  EdcReport report;
  const auto bytes = encode_edc(saved.name,
                                saved.options,
                                *saved.module,
                                {.values = {.conv = 4, .fc = 3}, .gaps = {.conv = 4, .fc = 4}},
                                &report);
  SavedModel back = decode_edc(bytes, "test");
  for (const NamedParameter& weight : prunable_parameters(*back.module)) {
    EXPECT_FALSE(weight.parameter->masked()) << weight.name;
    const auto now = values(weight.parameter->value.value());
    const std::set<double> distinct(now.begin(), now.end());
    EXPECT_LE(distinct.size(), weight.parameter->shape().rank() > 2 ? 16U : 8U) << weight.name;
  }
  EXPECT_EQ(report.layers.size(), 20U);
  // Norms and running statistics are exact.
  EXPECT_EQ(values(back.module->state_dict().at("bn1.running_var")),
            values(saved.module->state_dict().at("bn1.running_var")));
}

TEST(EdcFile, EveryTruncationIsAnIoError) {
  SavedModel saved = pruned_lenet();
  const auto bytes = encode_edc(saved.name, saved.options, *saved.module, {}, nullptr);
  for (size_t size = 0; size < bytes.size(); size += size < 400 ? 1 : 997) {
    const std::vector<uint8_t> cut(bytes.begin(), bytes.begin() + static_cast<long>(size));
    const std::string text = message_of<IoError>([&] { decode_edc(cut, "cut.edc"); });
    EXPECT_NE(text.find("cut.edc"), std::string::npos);
    if (size >= 8) {
      EXPECT_NE(text.find("truncated"), std::string::npos) << size << text;
    }
  }
  auto longer = bytes;
  longer.push_back(0);
  EXPECT_THROW(decode_edc(longer, "longer.edc"), IoError);
}

TEST(EdcFile, EveryDamagedByteIsAnIoError) {
  SavedModel saved = pruned_lenet();
  const auto bytes = encode_edc(saved.name, saved.options, *saved.module, {}, nullptr);
  for (size_t at = 0; at < bytes.size(); at += at < 64 ? 1 : 641) {
    auto bad = bytes;
    bad[at] ^= 0x10;
    const std::string text = message_of<IoError>([&] { decode_edc(bad, "bad.edc"); });
    EXPECT_NE(text.find("bad.edc"), std::string::npos) << at;
    if (at >= 24) {
      EXPECT_NE(text.find("checksum"), std::string::npos) << at;
    }
  }
}

// What the checksum would catch is also caught by what reads behind it.
TEST(CodedWeight, DamageIsAnIoErrorOrOtherValuesNeverMore) {
  KeptValues kept;
  for (int64_t i = 0; i < 200; i += 3) {
    kept.positions.push_back(i);
    kept.values.push_back(static_cast<float>(i % 7) - 3.0F);
  }
  ByteWriter out;
  write_weight(kept, 3, 4, out);
  const std::vector<uint8_t> bytes = out.bytes();
  int refused = 0;
  for (size_t at = 0; at < bytes.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      auto bad = bytes;
      bad[at] ^= static_cast<uint8_t>(1 << bit);
      ByteReader in(bad, "test");
      try {
        const KeptValues back = read_weight(in, 200);
        ASSERT_EQ(back.positions.size(), back.values.size());
        for (const int64_t p : back.positions) ASSERT_TRUE(p >= 0 && p < 200);
      } catch (const IoError&) {
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, 0);
  for (size_t size = 0; size < bytes.size(); ++size) {
    ByteReader in(std::span<const uint8_t>(bytes).first(size), "test");
    EXPECT_THROW(read_weight(in, 200), IoError) << size;
  }
}

TEST(EdcFile, BadOptionsAreValueErrors) {
  SavedModel saved = pruned_lenet();
  EXPECT_THROW(
      encode_edc(
          saved.name, saved.options, *saved.module, {.values = {.conv = 0, .fc = 5}}, nullptr),
      ValueError);
  EXPECT_THROW(
      encode_edc(
          saved.name, saved.options, *saved.module, {.gaps = {.conv = 8, .fc = 17}}, nullptr),
      ValueError);
}

}  // namespace
}  // namespace espalier::nn::compress
