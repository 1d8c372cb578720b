// SPDX-License-Identifier: Apache-2.0
// Networks, plans and .edc files with changed bytes, and with values that are no numbers.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include <espalier/core/detail/bytes.h>
#include <espalier/core/detail/checksum.h>
#include <espalier/core/io.h>
#include <espalier/core/safetensors.h>
#include <espalier/core/tests/temporary_folder.h>
#include <espalier/nn/compress/edc_file.h>
#include <espalier/nn/models/registry.h>
#include <espalier/nn/plan/plan.h>
#include <espalier/nn/quantize/quantize.h>
#include <espalier/nn/tests/plan_support.h>

namespace espalier::nn {
namespace {

using espalier::testing::TemporaryFolder;
namespace fs = std::filesystem;

using Bytes = std::vector<uint8_t>;
constexpr size_t kStep = 89;  // no multiple of a float's size
constexpr float kInfinity = std::numeric_limits<float>::infinity();
const ModelOptions kSmall = {.num_classes = 2, .image = {1, 8, 8}, .width = 0.1};

SavedModel small_network(double sparsity) {
  SavedModel saved{.name = "resnet20", .options = kSmall, .module = make_model("resnet20", kSmall)};
  disturb_batch_norms(*saved.module);
  if (sparsity > 0.0) mask_randomly(*saved.module, sparsity);
  return saved;
}

void save(const fs::path& path, const SavedModel& saved) {
  save_model(path, saved.name, saved.options, *saved.module);
}

InferencePlan plan_of(const SavedModel& saved) {
  return compile(*saved.module, Variable(Tensor::zeros({2, 1, 8, 8})));
}

// The first bytes and every kStep-th changed in two ways: `load` must refuse each.
template <class Load>
void expect_refused(const TemporaryFolder& folder, std::string_view name, Load load) {
  const std::string bytes = espalier::testing::slurp(folder / name);
  ASSERT_NO_THROW(load(folder / name));
  for (size_t at = 0; at < bytes.size(); at += at < 128 ? 1 : kStep) {
    for (const int change : {0x01, 0xff}) {
      std::string changed = bytes;
      changed[at] = static_cast<char>(changed[at] ^ change);
      EXPECT_THROW(load(folder.write("bad", changed)), IoError)
          << name << " at " << at << " ^ " << change;
    }
  }
}

TEST(DamagedFiles, NetworksAreRefused) {
  const TemporaryFolder folder;
  for (const double sparsity : {0.0, 0.9}) {
    save(folder / "net.safetensors", small_network(sparsity));
    expect_refused(folder, "net.safetensors", [](const fs::path& path) { load_model(path); });
  }
}

TEST(DamagedFiles, PlansAreRefused) {
  const TemporaryFolder folder;
  for (const double sparsity : {0.0, 0.9}) {
    plan_of(small_network(sparsity)).save(folder / "net.plan");
    expect_refused(folder, "net.plan", [](const fs::path& path) { InferencePlan::load(path); });
  }
}

// The magic, version, checksum and length of the header are covered by being compared.
TEST(DamagedFiles, CompressedNetworksAreRefused) {
  const TemporaryFolder folder;
  const SavedModel saved = small_network(0.9);
  compress::save_edc(folder / "net.edc", saved.name, saved.options, *saved.module, {});
  expect_refused(folder, "net.edc", [](const fs::path& path) {
    compress::is_edc(path) ? compress::load_edc(path) : load_model(path);
  });
}

class NotFiniteFiles : public ::testing::Test {
 protected:
  // What loading says when the number at `index` of a tensor is `value`.
  template <class Load>
  std::string complaint(const std::string& tensor, int64_t index, float value, Load load) {
    SafetensorsFile file = load_safetensors(path_);
    EXPECT_LT(index, file.tensors.at(tensor).numel());
    file.tensors.at(tensor).data<float>()[index] = value;
    save_safetensors(path_, file);
    return message_of<IoError>([&] { load(path_); });
  }
  void expect_named(const std::string& text, const std::string& tensor, int64_t index) {
    EXPECT_NE(text.find(path_.string()), std::string::npos) << text;
    EXPECT_NE(text.find("'" + tensor + "'"), std::string::npos) << text;
    EXPECT_NE(text.find(cat("index ", index)), std::string::npos) << text;
  }

  TemporaryFolder folder_;
  fs::path path_ = folder_ / "file";
};

TEST_F(NotFiniteFiles, OfNetworksAreRefusedByNameAndIndex) {
  const auto load = [](const fs::path& path) { load_model(path); };
  for (const char* tensor : {"conv1.weight", "bn1.running_var", "fc.bias"}) {
    for (const float value : {std::nanf(""), kInfinity, -kInfinity}) {
      save(path_, small_network(0.0));
      expect_named(complaint(tensor, 1, value, load), tensor, 1);
    }
  }
}

TEST_F(NotFiniteFiles, OfRangesIn8BitsAreRefused) {
  SavedModel saved = small_network(0.0);
  attach_quantizers(*saved.module);
  for (const NamedModule& part : saved.module->named_modules()) {
    if (auto* q = dynamic_cast<LayerQuantizer*>(part.module)) q->set_range(-1.0, 1.0);
  }
  save(path_, saved);
  ASSERT_NO_THROW(load_model(path_));
  const auto load = [](const fs::path& path) { load_model(path); };
  expect_named(complaint("fc.quantizer.range", 1, kInfinity, load), "fc.quantizer.range", 1);
}

TEST_F(NotFiniteFiles, OfPlansAreRefusedDenseAndSparse) {
  const auto load = [](const fs::path& path) { InferencePlan::load(path); };
  for (const double sparsity : {0.0, 0.5}) {
    for (const float value : {std::nanf(""), kInfinity}) {
      plan_of(small_network(sparsity)).save(path_);
      const char* tensor = sparsity > 0.0 ? "step0.values" : "step0.weight";
      expect_named(complaint(tensor, 1, value, load), tensor, 1);
    }
  }
}

TEST_F(NotFiniteFiles, LimitsOfPlansThatNoFloatHoldsAreRefused) {
  plan_of(small_network(0.0)).save(path_);
  SafetensorsFile file = load_safetensors(path_);
  std::string& text = file.metadata.at("espalier_plan");
  const std::string limit = R"("limits":{"low":0.0})";
  ASSERT_NE(text.find(limit), std::string::npos) << text;
  text.replace(text.find(limit), limit.size(), R"("limits":{"low":1e300})");
  save_safetensors(path_, file);
  const std::string error = message_of<IoError>([&] { InferencePlan::load(path_); });
  EXPECT_NE(error.find("finite limit, got 1e+300"), std::string::npos) << error;
}

// A bias is stored as it is: its bytes are found, changed, and the checksum put right.
TEST_F(NotFiniteFiles, OfCompressedNetworksAreRefused) {
  const SavedModel saved = small_network(0.9);
  constexpr float kMark = 1234.5F;
  saved.module->parameter("fc.bias").value.value().data<float>()[1] = kMark;
  Bytes bytes = compress::encode_edc(saved.name, saved.options, *saved.module, {}, nullptr);
  ASSERT_NO_THROW(compress::decode_edc(bytes, path_.string()));
  std::array<uint8_t, 4> mark{};
  std::memcpy(mark.data(), &kMark, 4);
  const auto at = std::search(bytes.begin(), bytes.end(), mark.begin(), mark.end());
  ASSERT_NE(at, bytes.end());
  std::memcpy(&*at, &kInfinity, 4);
  const uint32_t crc = espalier::detail::crc32(std::span<const uint8_t>(bytes).subspan(24));
  std::memcpy(bytes.data() + 12, &crc, 4);
  expect_named(
      message_of<IoError>([&] { compress::decode_edc(bytes, path_.string()); }), "fc.bias", 1);
}

// As version 0.1 wrote them: the description, and no checksum.
TEST(OldFiles, OfEarlierVersionsAreRead) {
  const TemporaryFolder folder;
  save(folder / "new", small_network(0.9));
  Bytes bytes = read_file(folder / "new", "test");
  const std::string_view own =
      espalier::detail::checksum_start().substr(std::strlen(R"({"__metadata__":{)"));
  const size_t begin = 8 + std::strlen(R"({"__metadata__":{)");
  bytes.erase(bytes.begin() + static_cast<long>(begin),
              bytes.begin() + static_cast<long>(begin + own.size() + 1));
  const uint64_t length =
      espalier::detail::little_endian(std::span(bytes).first(8)) - own.size() - 1;
  std::memcpy(bytes.data(), &length, 8);
  write_file(folder / "old", bytes.data(), static_cast<int64_t>(bytes.size()));
  EXPECT_FALSE(load_safetensors(folder / "old").checked);
  EXPECT_TRUE(load_safetensors(folder / "new").checked);
  const SavedModel old = load_model(folder / "old");
  EXPECT_EQ(snapshot(old.module->state_dict()),
            snapshot(load_model(folder / "new").module->state_dict()));
}

}  // namespace
}  // namespace espalier::nn
