// SPDX-License-Identifier: Apache-2.0
// Fuzz target: idx files. The first byte says what the others are: 0 images, 1 labels, 2 and 3 the
// same to be packed by gzip first, so that changes get past its checksum, 4 images packed already.
#include <espalier/core/error.h>
#include <espalier/core/fuzz/target.h>
#include <espalier/data/idx.h>
#include <espalier/data/tests/fixtures.h>

namespace espalier::fuzz {
namespace {

using data::testing::gzip;
using data::testing::idx_images;
using data::testing::idx_labels;

Bytes tagged(uint8_t tag, const Bytes& bytes) {
  Bytes out = {tag};
  out.insert(out.end(), bytes.begin(), bytes.end());
  return out;
}

}  // namespace

void read(const Bytes& input) {
  if (input.empty()) throw IoError("empty");
  Bytes body(input.begin() + 1, input.end());
  const bool labels = input[0] == 1 || input[0] == 3;
  if (input[0] == 2 || input[0] == 3) body = gzip(body);
  put("train-images-idx3-ubyte", labels ? idx_images(2, 3, 4) : body);
  put("train-labels-idx1-ubyte", labels ? body : idx_labels({1, 2}));
  const auto dataset = data::open_mnist(folder(), data::Split::Train);
  Bytes pixels(static_cast<size_t>(dataset->image_shape().numel()));
  dataset->read(1, pixels);
  saw(pixels);
}

std::vector<Bytes> seeds() {
  const Bytes images = idx_images(2, 3, 4);
  const Bytes labels = idx_labels({9, 0});
  return {tagged(0, images),
          tagged(1, labels),
          tagged(2, images),
          tagged(3, labels),
          tagged(4, gzip(images))};
}

}  // namespace espalier::fuzz
