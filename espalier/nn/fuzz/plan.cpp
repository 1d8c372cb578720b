// SPDX-License-Identifier: Apache-2.0
// Fuzz target: compiled plans. A small one that was read is run, too. The checksum is put right
// first, so that changes get past it.
#include <espalier/core/detail/checksum.h>
#include <espalier/core/fuzz/target.h>
#include <espalier/core/safetensors.h>
#include <espalier/nn/gates/attach.h>
#include <espalier/nn/layers.h>
#include <espalier/nn/models/registry.h>
#include <espalier/nn/plan/plan.h>

namespace espalier::fuzz {
namespace {

constexpr int64_t kMostBytes = int64_t{1} << 24;
constexpr int64_t kMostMacs = int64_t{1} << 24;

Bytes saved(nn::Module& module, const Shape& input) {
  const std::filesystem::path path = folder() / "seed.plan";
  nn::compile(module, Variable(Tensor::zeros(input))).save(path);
  return get(path);
}

}  // namespace

void read(const Bytes& input) {
  Bytes bytes = input;
  espalier::detail::put_checksum(bytes);
  const nn::InferencePlan plan = nn::InferencePlan::load(put("input.plan", bytes));
  if (plan.workspace_bytes() > kMostBytes || plan.macs() > kMostMacs) return;
  if (plan.input_shape().numel() > kMostBytes / 64) return;
  const Tensor out = plan.run(Tensor::ones(plan.input_shape().inserted(0, 3)));
  const Tensor plain = out.to(Layout::Nchw).contiguous();
  saw(plain.raw(), static_cast<size_t>(plain.nbytes()));
  saw(plan.describe());
}

std::vector<Bytes> seeds() {
  nn::Sequential small;
  nn::Conv2d conv({.in_channels = 2, .out_channels = 3, .kernel = {3, 3}, .padding = {1, 1}});
  Tensor mask = Tensor::zeros(conv.weight.shape(), DType::U8);
  for (int64_t i = 0; i < mask.numel(); i += 5) mask.data<uint8_t>()[i] = 1;
  conv.weight.set_mask(mask);
  small.add("conv", std::move(conv));
  small.add("bn", nn::BatchNorm2d({.channels = 3}));
  small.add("relu", nn::ReLU());
  small.add("flatten", nn::Flatten());
  small.add("fc", nn::Linear({.in = 3 * 4 * 4, .out = 2}));
  nn::Sequential gated;
  gated.add("block",
            nn::Residual({.main = std::make_shared<nn::Conv2d>(nn::Conv2d::Options{
                              .in_channels = 2, .out_channels = 2, .padding = {1, 1}})}));
  nn::add_block_gate(nn::block_sites(gated).front(),
                     std::make_shared<nn::GumbelHead>(
                         nn::GumbelHead::Options{.inputs = 2, .hidden = 3, .open_bias = 0.1}));
  const nn::ModelOptions options{.num_classes = 2, .image = {3, 8, 8}, .width = 0.1};
  return {saved(small, {2, 2, 4, 4}),
          saved(gated, {1, 2, 4, 4}),
          saved(*nn::make_model("resnet20", options), {1, 3, 8, 8})};
}

std::vector<Bytes> refused() {
  const std::filesystem::path path = folder() / "deep.plan";
  const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
  std::vector<Bytes> out;
  for (const std::string& text : {deep,
                                  R"({"version":1,"batch":)" + deep + "}",
                                  R"({"version":1,"batch":1,"values":[],"steps":)" + deep + "}"}) {
    save_safetensors(path, {{}, {{"espalier_plan", text}}});
    out.push_back(get(path));
  }
  return out;
}

}  // namespace espalier::fuzz
