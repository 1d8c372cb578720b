// SPDX-License-Identifier: Apache-2.0
// Fuzz target: networks that rebuild themselves, with masks (save_model's safetensors). The
// checksum is put right first, so that changes get past it.
#include <espalier/core/detail/checksum.h>
#include <espalier/core/fuzz/target.h>
#include <espalier/core/safetensors.h>
#include <espalier/nn/introspect/counting.h>
#include <espalier/nn/models/registry.h>

namespace espalier::fuzz {

void read(const Bytes& input) {
  Bytes bytes = input;
  espalier::detail::put_checksum(bytes);
  const nn::SavedModel saved = nn::load_model(put("input.safetensors", bytes));
  for (const auto& [name, tensor] : saved.module->state_dict()) {
    saw(name);
    saw(tensor.raw(), static_cast<size_t>(tensor.nbytes()));
  }
}

std::vector<Bytes> seeds() {
  const std::filesystem::path path = folder() / "seed.safetensors";
  std::vector<Bytes> out;
  for (const char* name : {"lenet300", "resnet20"}) {
    const nn::ModelOptions options{.num_classes = 2, .image = {1, 8, 8}, .width = 0.05};
    std::unique_ptr<nn::Module> module;
    try {
      module = nn::make_model(name, options);
    } catch (const Error&) {
      continue;  // not of this size
    }
    const nn::NamedParameter weight = nn::prunable_parameters(*module).front();
    Tensor mask = Tensor::ones(weight.parameter->shape(), DType::U8);
    mask.data<uint8_t>()[0] = 0;
    weight.parameter->set_mask(mask);
    nn::save_model(path, name, options, *module);
    out.push_back(get(path));
  }
  return out;
}

std::vector<Bytes> refused() {
  const std::filesystem::path path = folder() / "deep.safetensors";
  const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
  std::vector<Bytes> out;
  for (const std::string& text :
       {deep, R"({"version":1,"model":"lenet300","seed":)" + deep + "}"}) {
    save_safetensors(path, {{}, {{"architecture", text}}});
    out.push_back(get(path));
  }
  return out;
}

}  // namespace espalier::fuzz
