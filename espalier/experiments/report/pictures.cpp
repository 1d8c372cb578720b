// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/report/pictures.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include <fmt/format.h>

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#include <stb/stb_image_write.h>
#pragma GCC diagnostic pop

#include <espalier/core/error.h>
#include <espalier/experiments/inputs/inputs.h>

namespace espalier::experiments::report {
namespace {

constexpr int64_t kMostPixels = 96;           // of a mask's side
constexpr int64_t kMostFilters = 64;          // tiles of a picture
constexpr int64_t kMostFilterSide = 32;       // of a tile
constexpr uint8_t kKept[3] = {61, 143, 209};  // seen on light and dark paper

// Red, green, blue and opacity of every pixel, row by row.
class Canvas {
 public:
  Canvas(int64_t width, int64_t height)
      : width_(width), height_(height), bytes_(static_cast<size_t>(4 * width * height)) {}

  void set(int64_t x, int64_t y, uint8_t r, uint8_t g, uint8_t b, uint8_t opacity) {
    uint8_t* at = bytes_.data() + 4 * (y * width_ + x);
    at[0] = r;
    at[1] = g;
    at[2] = b;
    at[3] = opacity;
  }

  Picture picture(std::string name, std::string caption) const {
    int length = 0;
    const std::unique_ptr<unsigned char, void (*)(void*)> png(
        stbi_write_png_to_mem(bytes_.data(),
                              static_cast<int>(4 * width_),
                              static_cast<int>(width_),
                              static_cast<int>(height_),
                              4,
                              &length),
        std::free);
    ESPALIER_CHECK(png != nullptr, ValueError, "picture: ", name, " can't be written as PNG");
    return {.name = std::move(name),
            .caption = std::move(caption),
            .width = width_,
            .height = height_,
            .png = {png.get(), png.get() + length}};
  }

 private:
  int64_t width_;
  int64_t height_;
  std::vector<uint8_t> bytes_;
};

uint8_t byte_of(double share) {
  return static_cast<uint8_t>(std::lround(255.0 * std::clamp(share, 0.0, 1.0)));
}

std::string layer_name(std::string name) {
  constexpr std::string_view kEnd = ".weight";
  if (name.ends_with(kEnd)) name.resize(name.size() - kEnd.size());
  return name;
}

// A linear layer on pictures: its rows as one-channel filters. Undefined when they are no square.
Tensor as_filters(const Tensor& weight) {
  if (!weight.defined() || weight.rank() == 4) return weight;
  if (weight.rank() != 2) return {};
  const auto side =
      static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(weight.size(1)))));
  if (side * side != weight.size(1)) return {};
  return weight.reshape({weight.size(0), 1, side, side});
}

}  // namespace

Picture mask_picture(const std::string& name, const Tensor& mask) {
  ESPALIER_CHECK(mask.rank() >= 2,
                 ShapeError,
                 "mask_picture: expects (outputs, inputs, ..), got ",
                 mask.shape());
  const Tensor kept = mask.contiguous().to(DType::F32);
  const float* at = kept.data<float>();
  const int64_t outputs = mask.size(0);
  const int64_t inputs = mask.size(1);
  const int64_t taps = inputs == 0 || outputs == 0 ? 0 : mask.numel() / (outputs * inputs);
  const int64_t height = std::clamp<int64_t>(outputs, 1, kMostPixels);
  const int64_t width = std::clamp<int64_t>(inputs, 1, kMostPixels);
  Canvas canvas(width, height);
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      double sum = 0.0;
      int64_t count = 0;
      for (int64_t o = y * outputs / height; o < (y + 1) * outputs / height; ++o) {
        for (int64_t i = x * inputs / width; i < (x + 1) * inputs / width; ++i) {
          for (int64_t tap = 0; tap < taps; ++tap) sum += at[(o * inputs + i) * taps + tap];
          count += taps;
        }
      }
      const double share = count == 0 ? 0.0 : sum / static_cast<double>(count);
      canvas.set(x, y, kKept[0], kKept[1], kKept[2], byte_of(share));
    }
  }
  return canvas.picture(name,
                        fmt::format("{} outputs (down) x {} inputs{}",
                                    outputs,
                                    inputs,
                                    taps > 1 ? fmt::format(" of {} weights", taps) : ""));
}

Picture filter_picture(const std::string& name, const Tensor& weight, const Tensor& mask) {
  ESPALIER_CHECK(weight.rank() == 4,
                 ShapeError,
                 "filter_picture: expects (outputs, channels, rows, columns), got ",
                 weight.shape());
  const Tensor values = weight.contiguous().to(DType::F32);
  const Tensor kept = mask.defined() ? mask.contiguous().to(DType::F32) : Tensor();
  const bool color = weight.size(1) == 3;
  const int64_t planes = color ? 3 : 1;
  const int64_t rows = weight.size(2);
  const int64_t columns = weight.size(3);
  const int64_t all = weight.size(0) * weight.size(1) / planes;
  const int64_t tiles = std::min(all, kMostFilters);
  const auto across = static_cast<int64_t>(std::ceil(std::sqrt(static_cast<double>(tiles))));
  const int64_t down = across == 0 ? 0 : (tiles + across - 1) / across;
  Canvas canvas(std::max<int64_t>(across * (columns + 1) - 1, 1),
                std::max<int64_t>(down * (rows + 1) - 1, 1));
  for (int64_t tile = 0; tile < tiles; ++tile) {
    const float* at = values.data<float>() + tile * planes * rows * columns;
    const float* there =
        kept.defined() ? kept.data<float>() + tile * planes * rows * columns : nullptr;
    double largest = 1e-30;
    for (int64_t i = 0; i < planes * rows * columns; ++i) {
      largest = std::max(largest, std::abs(static_cast<double>(at[i])));
    }
    for (int64_t y = 0; y < rows; ++y) {
      for (int64_t x = 0; x < columns; ++x) {
        uint8_t rgb[3];
        bool exists = there == nullptr;
        for (int64_t plane = 0; plane < 3; ++plane) {
          const int64_t i = ((color ? plane : 0) * rows + y) * columns + x;
          rgb[plane] = byte_of(0.5 + 0.5 * static_cast<double>(at[i]) / largest);
          exists = exists || (there != nullptr && there[i] != 0.0F);
        }
        canvas.set(tile % across * (columns + 1) + x,
                   tile / across * (rows + 1) + y,
                   rgb[0],
                   rgb[1],
                   rgb[2],
                   exists ? 255 : 0);
      }
    }
  }
  return canvas.picture(name,
                        fmt::format("{} of {} filters of {} x {}{}",
                                    tiles,
                                    all,
                                    rows,
                                    columns,
                                    color ? ", channels as red, green, blue" : ""));
}

NetworkPictures network_pictures(const std::filesystem::path& model_file) {
  const Network network = load_network(model_file);
  NetworkPictures out;
  bool first = true;
  for (const nn::NamedParameter& weight : nn::prunable_parameters(*network.module)) {
    const std::string name = layer_name(weight.name);
    const Tensor mask = weight.parameter->mask();
    if (mask.defined() && mask.rank() >= 2) out.masks.push_back(mask_picture(name, mask));
    if (!first) continue;
    first = false;
    const Tensor filters = as_filters(weight.parameter->value.value());
    if (filters.defined() && filters.size(2) <= kMostFilterSide &&
        filters.size(3) <= kMostFilterSide) {
      out.filters.push_back(filter_picture(name, filters, as_filters(mask)));
    }
  }
  return out;
}

std::string base64(const std::vector<uint8_t>& bytes) {
  static constexpr char kDigits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t count = std::min<size_t>(bytes.size() - i, 3);
    uint32_t group = 0;
    for (size_t j = 0; j < 3; ++j) group = group << 8 | (j < count ? bytes[i + j] : 0U);
    for (size_t j = 0; j < 4; ++j) {
      out += j <= count ? kDigits[group >> (18 - 6 * j) & 63U] : '=';
    }
  }
  return out;
}

std::string base64(const std::string& text) {
  return base64(std::vector<uint8_t>(text.begin(), text.end()));
}

}  // namespace espalier::experiments::report
