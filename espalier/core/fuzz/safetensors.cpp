// SPDX-License-Identifier: Apache-2.0
// Fuzz target: safetensors, and that what was read is written and read again the same. The checksum
// is put right first, so that changes get past it.
#include <cstdlib>
#include <cstring>

#include <espalier/core/detail/checksum.h>
#include <espalier/core/fuzz/target.h>
#include <espalier/core/safetensors.h>

namespace espalier::fuzz {

void read(const Bytes& input) {
  Bytes bytes = input;
  detail::put_checksum(bytes);
  const SafetensorsFile file = parse_safetensors(bytes, "input");
  const std::filesystem::path copy = folder() / "copy.safetensors";
  save_safetensors(copy, file);
  const SafetensorsFile again = load_safetensors(copy);
  if (again.tensors.size() != file.tensors.size() || again.metadata != file.metadata) std::abort();
  for (const auto& [key, text] : file.metadata) saw(key + "=" + text);
  for (const auto& [name, tensor] : file.tensors) {
    saw(name);
    saw(tensor.raw(), static_cast<size_t>(tensor.nbytes()));
    const Tensor& other = again.tensors.at(name);
    if (other.shape() != tensor.shape() || other.dtype() != tensor.dtype() ||
        (tensor.numel() > 0 &&
         std::memcmp(other.raw(), tensor.raw(), static_cast<size_t>(tensor.nbytes())) != 0)) {
      std::abort();
    }
  }
}

std::vector<Bytes> seeds() {
  const std::filesystem::path path = folder() / "seed.safetensors";
  save_safetensors(path,
                   {{{"conv.weight", Tensor::arange(6).reshape({1, 2, 3})},
                     {"conv.weight.mask", Tensor::ones({1, 2, 3}, DType::U8)},
                     {"steps", Tensor::from<int64_t>({1}, {7})},
                     {"none", Tensor::zeros({0, 4})}},
                    {{"architecture", "{}"}}});
  Bytes halves = get(path);
  Bytes small = get(put("tiny", {2, 0, 0, 0, 0, 0, 0, 0, '{', '}'}));
  const std::string header = R"({"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},)"
                             R"("b":{"dtype":"BOOL","shape":[],"data_offsets":[4,5]}})";
  Bytes typed = {static_cast<uint8_t>(header.size()), 0, 0, 0, 0, 0, 0, 0};
  typed.insert(typed.end(), header.begin(), header.end());
  typed.insert(typed.end(), {0, 0x3c, 0, 0x7c, 1});
  return {halves, small, typed};
}

std::vector<Bytes> refused() {
  const std::string deep(100'000, '[');
  const std::string ends(100'000, ']');
  std::vector<Bytes> out;
  for (const std::string& header : {R"({"a":)" + deep + ends + "}",
                                    R"({"__metadata__":)" + deep + ends + "}",
                                    std::string("{}\0{", 4)}) {
    Bytes bytes(8);
    for (size_t i = 0; i < 8; ++i) bytes[i] = static_cast<uint8_t>(header.size() >> (8 * i));
    bytes.insert(bytes.end(), header.begin(), header.end());
    out.push_back(std::move(bytes));
  }
  return out;
}

}  // namespace espalier::fuzz
