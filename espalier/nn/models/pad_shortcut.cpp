// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/models/pad_shortcut.h>

#include <espalier/autograd/ops.h>

namespace espalier::nn::models {

PadShortcut PadShortcut::widening(int64_t in, int64_t out, int64_t stride) {
  ESPALIER_CHECK(
      out >= in, ValueError, "pad shortcut: can't go from ", in, " channels to fewer, ", out);
  const int64_t before = (out - in) / 2;
  return PadShortcut({.in = in, .before = before, .after = out - in - before, .stride = stride});
}

Variable PadShortcut::forward(const Variable& x) {
  ESPALIER_CHECK(x.rank() == 4 && x.size(1) == options_.in,
                 ShapeError,
                 "pad shortcut: expects (N,",
                 options_.in,
                 ",H,W), got ",
                 x.value());
  // A mean over one position is that position: every stride-th row and column, in one pass.
  const Variable y =
      options_.stride == 1 ? x : avg_pool2d(x, {.kernel = 1, .stride = options_.stride});
  if (options_.before == 0 && options_.after == 0) return y;
  return pad(y, {{1, options_.before, options_.after}});
}

std::string PadShortcut::describe() const {
  return cat("PadShortcut(",
             options_.in,
             ", ",
             options_.before + options_.in + options_.after,
             ", stride ",
             options_.stride,
             ")");
}

LayerSizes PadShortcut::sizes() const {
  return {{"in_channels", options_.in}, {"before", options_.before}, {"after", options_.after}};
}

LayerSizes PadShortcut::sizes_keeping(const KeptChannels& kept) const {
  LayerSizes sizes = {{"in_channels", 0}, {"before", 0}, {"after", 0}};
  size_t next = 0;
  for (const int64_t out : kept.out) {
    const int64_t in = out - options_.before;
    if (in < 0) {
      ++sizes["before"];
    } else if (in >= options_.in) {
      ++sizes["after"];
    } else {
      ESPALIER_CHECK(next < kept.in.size() && kept.in[next] == in,
                     ValueError,
                     "pad shortcut: output channel ",
                     out,
                     " can't stay without input channel ",
                     in);
      ++next;
    }
  }
  ESPALIER_CHECK(next == kept.in.size(),
                 ValueError,
                 "pad shortcut: keeps ",
                 kept.in.size(),
                 " input channels but only ",
                 next,
                 " of their outputs");
  sizes["in_channels"] = static_cast<int64_t>(next);
  return sizes;
}

void PadShortcut::set_sizes(const LayerSizes& sizes) {
  for (const auto& [name, size] : sizes) {
    ESPALIER_CHECK(size >= 0, ValueError, "pad shortcut: ", name, " expects >= 0, got ", size);
    if (name == "in_channels") {
      options_.in = size;
    } else if (name == "before") {
      options_.before = size;
    } else if (name == "after") {
      options_.after = size;
    } else {
      throw ValueError(cat("pad shortcut: has no size named ", name));
    }
  }
}

}  // namespace espalier::nn::models
