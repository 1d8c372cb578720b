// SPDX-License-Identifier: Apache-2.0
// Fuzz target: SVHN's MATLAB files. The first byte says what the others are: 0 a file, otherwise
// its elements after the header, each to be packed by zlib first, so that changes get past its
// checksum.
#include <algorithm>
#include <cstring>

#include <zlib.h>

#include <espalier/core/error.h>
#include <espalier/core/fuzz/target.h>
#include <espalier/data/svhn.h>
#include <espalier/data/tests/fixtures.h>

namespace espalier::fuzz {
namespace {

constexpr size_t kHeader = 128;

uint32_t number_at(const Bytes& bytes, size_t at) {
  uint32_t out;
  std::memcpy(&out, bytes.data() + at, 4);
  return out;
}

void append_number(Bytes& bytes, uint32_t value) {
  const auto* first = reinterpret_cast<const uint8_t*>(&value);
  bytes.insert(bytes.end(), first, first + 4);
}

Bytes pack_elements(const Bytes& plain) {
  if (plain.size() < kHeader) return plain;
  Bytes out(plain.begin(), plain.begin() + kHeader);
  for (size_t at = kHeader; plain.size() - at >= 8;) {
    const size_t size = std::min<size_t>(plain.size() - at, 8 + size_t{number_at(plain, at + 4)});
    uLongf packed_size = compressBound(size);
    Bytes packed(packed_size);
    compress2(packed.data(), &packed_size, plain.data() + at, size, 1);
    append_number(out, 15);
    append_number(out, static_cast<uint32_t>(packed_size));
    out.insert(out.end(), packed.begin(), packed.begin() + static_cast<long>(packed_size));
    at += size;
  }
  return out;
}

}  // namespace

void read(const Bytes& input) {
  if (input.empty()) throw IoError("empty");
  const Bytes body(input.begin() + 1, input.end());
  put("train_32x32.mat", input[0] == 0 ? body : pack_elements(body));
  const auto dataset = data::open_svhn(folder(), data::Split::Train);
  Bytes pixels(3072);
  dataset->read(dataset->size() - 1, pixels);
  saw(pixels);
}

std::vector<Bytes> seeds() {
  std::vector<Bytes> out;
  for (const bool packed : {false, true}) {
    data::testing::make_svhn(folder() / "seed.mat", {1, 10}, packed);
    for (const uint8_t tag : {0, 1}) {
      if (packed && tag == 1) continue;
      Bytes bytes = get(folder() / "seed.mat");
      bytes.insert(bytes.begin(), tag);
      out.push_back(bytes);
    }
  }
  return out;
}

}  // namespace espalier::fuzz
