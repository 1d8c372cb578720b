// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/detail/picture_formats.h>

namespace espalier::data::detail {

const std::vector<PictureFormat>& picture_formats() {
  static const std::vector<PictureFormat> list = {
      jpeg_format(), png_format(), webp_format(), bmp_format()};
  return list;
}

}  // namespace espalier::data::detail
