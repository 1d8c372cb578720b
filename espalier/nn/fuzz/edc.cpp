// SPDX-License-Identifier: Apache-2.0
// Fuzz target: .edc files. Length and checksum are put right first, so that changes get past them.
#include <algorithm>
#include <cstring>

#include <zlib.h>

#include <espalier/core/fuzz/target.h>
#include <espalier/nn/compress/edc_file.h>
#include <espalier/nn/gates/attach.h>
#include <espalier/nn/introspect/counting.h>

namespace espalier::fuzz {

void read(const Bytes& input) {
  constexpr size_t kHeader = 24;
  Bytes bytes = input;
  if (bytes.size() >= kHeader) {
    const auto crc = static_cast<uint32_t>(
        crc32(0, bytes.data() + kHeader, static_cast<uInt>(bytes.size() - kHeader)));
    const uint64_t length = bytes.size();
    std::memcpy(bytes.data() + 12, &crc, 4);
    std::memcpy(bytes.data() + 16, &length, 8);
  }
  const nn::SavedModel saved = nn::compress::decode_edc(bytes, "input");
  for (const auto& [name, tensor] : saved.module->state_dict()) {
    saw(name);
    saw(tensor.raw(), static_cast<size_t>(tensor.nbytes()));
  }
}

std::vector<Bytes> seeds() {
  std::vector<Bytes> out;
  const nn::ModelOptions options{.num_classes = 2, .image = {1, 8, 8}, .width = 0.05};
  for (const bool masked : {false, true}) {
    const auto module = nn::make_model("lenet5", {.image = {1, 28, 28}});
    const nn::NamedParameter weight = nn::prunable_parameters(*module).front();
    if (masked) {
      Tensor mask = Tensor::ones(weight.parameter->shape(), DType::U8);
      std::fill_n(mask.data<uint8_t>(), mask.numel() / 2, uint8_t{0});
      weight.parameter->set_mask(mask);
    }
    out.push_back(nn::compress::encode_edc("lenet5", {.image = {1, 28, 28}}, *module, {}, nullptr));
  }
  const auto tiny = nn::make_model("resnet20", options);
  out.push_back(nn::compress::encode_edc("resnet20", options, *tiny, {}, nullptr));
  const Variable image(Tensor::zeros({1, 1, 8, 8}));
  for (const nn::GateSite& site : nn::gate_sites(*tiny, image)) nn::add_saliency_gate(site);
  out.push_back(nn::compress::encode_edc("resnet20", options, *tiny, {}, nullptr));
  return out;
}

}  // namespace espalier::fuzz
