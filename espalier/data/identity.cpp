// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/identity.h>

#include <algorithm>
#include <system_error>

#include <espalier/core/detail/checksum.h>
#include <espalier/core/error.h>
#include <espalier/core/io.h>
#include <espalier/core/parallel.h>
#include <espalier/data/checksum.h>

namespace espalier::data {
namespace {

constexpr int64_t kMostFileBytes = int64_t{1} << 32;
constexpr int64_t kSpotChecks = 1024;
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

int64_t length_of(const std::filesystem::path& file) {
  std::error_code error;
  const auto bytes = std::filesystem::file_size(file, error);
  return error ? 0 : static_cast<int64_t>(bytes);
}

// A number a sample, in which every byte of what is looked at counts.
std::vector<int64_t> contents(const Dataset& dataset) {
  const int64_t samples = dataset.size();
  std::vector<int64_t> lengths, out(static_cast<size_t>(samples));
  const bool files = samples > 0 && !dataset.file_of(0).empty();
  int64_t total = 0;
  for (int64_t i = 0; files && i < samples; ++i) {
    lengths.push_back(length_of(dataset.file_of(i)));
    total += lengths.back();
  }
  const int64_t distance =
      total <= kMostFileBytes ? 1 : std::max<int64_t>(1, samples / kSpotChecks);
  const auto numel = static_cast<size_t>(dataset.image_shape().numel());
  parallel_for(samples, 64, [&](int64_t begin, int64_t end) {
    std::vector<uint8_t> bytes(files ? 0 : numel);
    for (int64_t i = begin; i < end; ++i) {
      int64_t& content = out[static_cast<size_t>(i)];
      if (files) content = lengths[static_cast<size_t>(i)] << 32;
      if (i % distance != 0 && i + 1 != samples) continue;
      if (files) {
        bytes = read_file(dataset.file_of(i), dataset.name());
      } else {
        dataset.read(i, bytes);
      }
      content ^= static_cast<int64_t>(espalier::detail::crc32(bytes));
    }
  });
  return out;
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
  const std::vector<int64_t> content = contents(dataset);
  for (int64_t i = 0; i < samples; ++i) {
    add(sum, dataset.label(i));
    add(sum, content[static_cast<size_t>(i)]);
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
