// SPDX-License-Identifier: Apache-2.0
// Fuzz target: a folder with one picture.
#include <espalier/core/fuzz/target.h>
#include <espalier/data/image_folder.h>
#include <espalier/data/tests/fixtures.h>

namespace espalier::fuzz {

void read(const Bytes& input) {
  put("pictures/class/a.png", input);
  const auto dataset = data::open_image_folder(folder() / "pictures", data::Split::Train);
  Bytes pixels(static_cast<size_t>(dataset->image_shape().numel()));
  dataset->read(0, pixels);
  saw(pixels);
}

std::vector<Bytes> seeds() {
  const std::filesystem::path png = folder() / "seed.png";
  const std::filesystem::path jpeg = folder() / "seed.jpg";
  data::testing::make_png(png, 1, 5, 7);
  data::testing::make_jpeg(jpeg, 9, 17, {200, 30, 90});
  const std::filesystem::path bmp = folder() / "seed.bmp";
  const std::filesystem::path webp = folder() / "seed.webp";
  data::testing::make_bmp(bmp, 1, 5, 7);
  data::testing::make_webp(webp, 1, 5, 7);
  return {get(png), get(jpeg), get(bmp), get(webp)};
}

}  // namespace espalier::fuzz
