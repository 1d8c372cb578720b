// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/sites/reader.h>

namespace espalier::prune {

const SitePart* only_reader(const Site& site) {
  const SitePart* found = nullptr;
  for (const SitePart& part : site.parts) {
    if (part.role != SliceRole::Consumer || part.parameter->shape().rank() < 2) continue;
    if (found != nullptr) return nullptr;
    found = &part;
  }
  return found;
}

std::vector<int64_t> channel_of_column(const SitePart& reader) {
  const Shape& shape = reader.parameter->shape();
  const int64_t inputs = shape[1];
  const int64_t taps = reader.parameter->numel() / (shape[0] * inputs);
  std::vector<int64_t> channel;
  for (int64_t tap = 0; tap < taps; ++tap) {
    for (int64_t i = 0; i < inputs; ++i) channel.push_back(reader.units.unit(i * taps + tap));
  }
  return channel;
}

}  // namespace espalier::prune
