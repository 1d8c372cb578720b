// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/identity.h>

#include <algorithm>
#include <span>

#include <espalier/core/error.h>
#include <espalier/data/checksum.h>

namespace espalier::data {
namespace {

constexpr int64_t kMostSamples = 256, kFewestSamples = 16;
constexpr int64_t kMostValues = int64_t{1} << 24;
constexpr size_t kDigits = 32;

void add(Checksum& sum, int64_t number) {
  uint8_t bytes[8];
  for (int i = 0; i < 8; ++i) {
    bytes[i] = static_cast<uint8_t>(static_cast<uint64_t>(number) >> (8 * i));
  }
  sum.update(bytes);
}

std::string shape_text(const ImageShape& shape) {
  return cat(shape.channels, "x", shape.height, "x", shape.width);
}

bool same_names_reordered(std::vector<std::string> a, std::vector<std::string> b) {
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  return a == b;
}

}  // namespace

DatasetIdentity identify(const Dataset& dataset) {
  const int64_t samples = dataset.size();
  const ImageShape shape = dataset.image_shape();
  Checksum sum(Digest::Sha256);
  for (const int64_t number : {samples, shape.channels, shape.height, shape.width}) {
    add(sum, number);
  }
  for (int64_t i = 0; i < samples; ++i) {
    add(sum, dataset.label(i));
    add(sum, dataset.stored_bytes(i));
  }
  const int64_t most = std::clamp(kMostValues / shape.numel(), kFewestSamples, kMostSamples);
  const int64_t looked_at = std::min(samples, most);
  std::vector<uint8_t> pixels(static_cast<size_t>(shape.numel()));
  for (int64_t k = 0; k < looked_at; ++k) {
    dataset.read(looked_at == 1 ? 0 : k * (samples - 1) / (looked_at - 1), pixels);
    sum.update(pixels);
  }
  return {.samples = samples,
          .shape = shape,
          .class_names = dataset.class_names(),
          .fingerprint = sum.hex().substr(0, kDigits)};
}

std::string first_difference(const DatasetIdentity& was, const DatasetIdentity& now) {
  if (was.class_names.size() != now.class_names.size()) {
    return cat(was.class_names.size(), " classes then, ", now.class_names.size(), " now");
  }
  for (size_t c = 0; c < was.class_names.size(); ++c) {
    if (was.class_names[c] != now.class_names[c]) {
      return cat("class ", c, " was '", was.class_names[c], "', is '", now.class_names[c], "'");
    }
  }
  if (was.samples != now.samples) {
    return cat(was.samples, " samples then, ", now.samples, " now");
  }
  if (was.shape != now.shape) {
    return cat("images of ", shape_text(was.shape), " then, ", shape_text(now.shape), " now");
  }
  if (was.fingerprint != now.fingerprint) {
    return "as many samples and the same classes, but other pixels or labels";
  }
  return {};
}

std::string first_difference_of_names(const std::vector<std::string>& there,
                                      const std::vector<std::string>& here) {
  if (there.size() != here.size()) {
    return cat(there.size(), " classes there, ", here.size(), " here");
  }
  for (size_t c = 0; c < there.size(); ++c) {
    if (there[c] == here[c]) continue;
    return cat("class ",
               c,
               " is '",
               there[c],
               "' there, '",
               here[c],
               "' here",
               same_names_reordered(there, here) ? ": the same names in another order" : "");
  }
  return {};
}

}  // namespace espalier::data
