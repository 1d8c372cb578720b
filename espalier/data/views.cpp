// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/views.h>

#include <algorithm>
#include <cmath>
#include <tuple>

#include <espalier/core/error.h>
#include <espalier/data/detail/colours.h>

namespace espalier::data {
namespace {

using detail::Planes;

/// What was drawn for one image.
struct View {
  double top = 0.0, left = 0.0, height = 0.0, width = 0.0;  // of the window, in pixels
  bool mirror = false;
  bool jitter = false;
  double brightness = 1.0, contrast = 1.0, saturation = 1.0;
  double hue = 0.0;  // turns
  bool grey = false;
};

/// Always as many numbers, so that one option changes nothing of the others.
View draw(const ViewOptions& o, int64_t height, int64_t width, Rng rng) {
  View view;
  const double share = rng.uniform(o.least_area, 1.0);
  const double ratio = std::exp(rng.uniform(-1.0, 1.0) * std::log(o.aspect));
  view.height = std::min(std::sqrt(share / ratio), 1.0) * static_cast<double>(height);
  view.width = std::min(std::sqrt(share * ratio), 1.0) * static_cast<double>(width);
  view.top = rng.uniform(0.0, 1.0) * (static_cast<double>(height) - view.height);
  view.left = rng.uniform(0.0, 1.0) * (static_cast<double>(width) - view.width);
  view.mirror = rng.uniform(0.0, 1.0) < o.flip;
  view.jitter = rng.uniform(0.0, 1.0) < o.jitter;
  view.brightness = 1.0 + rng.uniform(-1.0, 1.0) * o.brightness;
  view.contrast = 1.0 + rng.uniform(-1.0, 1.0) * o.contrast;
  view.saturation = 1.0 + rng.uniform(-1.0, 1.0) * o.saturation;
  view.hue = rng.uniform(-1.0, 1.0) * o.hue;
  view.grey = rng.uniform(0.0, 1.0) < o.grey;
  return view;
}

/// Bilinear, the border's pixels beyond it.
void show_window(const float* in, const View& view, const Planes& out) {
  const auto source = [](double at, int64_t size) {
    const double inside = std::clamp(at, 0.0, static_cast<double>(size - 1));
    const auto first = static_cast<int64_t>(inside);
    return std::tuple(first, std::min(first + 1, size - 1), inside - static_cast<double>(first));
  };
  for (int64_t y = 0; y < out.height; ++y) {
    const double row =
        view.top + (static_cast<double>(y) + 0.5) * view.height / static_cast<double>(out.height) -
        0.5;
    const auto [y0, y1, dy] = source(row, out.height);
    for (int64_t x = 0; x < out.width; ++x) {
      const int64_t from = view.mirror ? out.width - 1 - x : x;
      const double column =
          view.left +
          (static_cast<double>(from) + 0.5) * view.width / static_cast<double>(out.width) - 0.5;
      const auto [x0, x1, dx] = source(column, out.width);
      for (int64_t c = 0; c < out.channels; ++c) {
        const float* plane = in + c * out.size();
        const double above =
            plane[y0 * out.width + x0] * (1 - dx) + plane[y0 * out.width + x1] * dx;
        const double below =
            plane[y1 * out.width + x0] * (1 - dx) + plane[y1 * out.width + x1] * dx;
        out.at(c, y * out.width + x) = static_cast<float>(above * (1 - dy) + below * dy);
      }
    }
  }
}

void change_colours(const Planes& image, const View& view) {
  if (view.jitter) {
    detail::change_brightness(image, view.brightness);
    detail::change_contrast(image, view.contrast);
    if (image.coloured()) {
      detail::change_saturation(image, view.saturation);
      detail::turn_hue(image, view.hue);
    }
  }
  if (image.coloured() && view.grey) detail::change_saturation(image, 0.0);
}

}  // namespace

Tensor random_views(const Tensor& images,
                    const std::vector<float>& mean,
                    const std::vector<float>& stddev,
                    const ViewOptions& options,
                    const Rng& rng) {
  ESPALIER_CHECK(images.rank() == 4,
                 ShapeError,
                 "random_views: expects images (N,C,H,W), got ",
                 images.shape());
  const int64_t channels = images.size(1);
  ESPALIER_CHECK(mean.size() == stddev.size() &&
                     (mean.empty() || static_cast<int64_t>(mean.size()) == channels),
                 ValueError,
                 "random_views: expects a mean and a deviation for each of ",
                 channels,
                 " channels, got ",
                 mean.size(),
                 " and ",
                 stddev.size());
  const Tensor plain = images.to(Layout::Nchw).contiguous();
  Tensor out = Tensor::empty(plain.shape());
  const int64_t size = plain.size(2) * plain.size(3);
  for (int64_t n = 0; n < plain.size(0); ++n) {
    const View view =
        draw(options, plain.size(2), plain.size(3), rng.fork(static_cast<uint64_t>(n)));
    const Planes image{
        out.data<float>() + n * channels * size, channels, plain.size(2), plain.size(3)};
    show_window(plain.data<float>() + n * channels * size, view, image);
    for (int64_t c = 0; c < channels && !mean.empty(); ++c) {
      const auto k = static_cast<size_t>(c);
      for (int64_t i = 0; i < size; ++i) image.at(c, i) = image.at(c, i) * stddev[k] + mean[k];
    }
    change_colours(image, view);
    for (int64_t c = 0; c < channels && !mean.empty(); ++c) {
      const auto k = static_cast<size_t>(c);
      for (int64_t i = 0; i < size; ++i) image.at(c, i) = (image.at(c, i) - mean[k]) / stddev[k];
    }
  }
  return out;
}

}  // namespace espalier::data
