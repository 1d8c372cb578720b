// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/idx.h>

#include <string>
#include <system_error>
#include <utility>

#include <espalier/core/error.h>
#include <espalier/core/file_kind.h>
#include <espalier/core/file_set.h>
#include <espalier/data/detail/byte_source.h>
#include <espalier/data/detail/neighbours.h>
#include <espalier/data/memory_dataset.h>

namespace espalier::data {
namespace {

constexpr uint32_t kImagesMagic = 0x00000803;  // unsigned bytes, three dimensions
constexpr uint32_t kLabelsMagic = 0x00000801;  // unsigned bytes, one dimension
constexpr uint32_t kMaxSide = 1024;

// The file of this official name, under whichever spelling it lies there.
std::filesystem::path spelt(const std::filesystem::path& folder,
                            const std::string& official_name,
                            const std::string& what) {
  std::filesystem::path in_the_way;  // a folder of a file's name, which may hold the file
  for (const std::string& name : detail::spellings(official_name)) {
    std::error_code error;
    const auto type = std::filesystem::status(folder / name, error).type();
    if (type == std::filesystem::file_type::not_found) continue;
    if (type != std::filesystem::file_type::directory) return folder / name;
    if (in_the_way.empty()) in_the_way = folder / name;
  }
  if (!in_the_way.empty()) return in_the_way;  // reading tells what is wrong
  throw IoError(cat(
      what, ": neither ", (folder / official_name).string(), " nor ", official_name, ".gz exists"));
}

void expect_magic(detail::ByteSource& source, uint32_t expected) {
  const uint32_t magic = source.read_u32_be();
  if (magic != expected) {
    // Of a packed file the kind of what is in it counts, and of the other idx file the number.
    const FileKind kind = file_kind(source.path());
    const bool says_more = kind != FileKind::Gzip && kind != FileKind::Idx;
    source.fail(cat("starts with ",
                    magic,
                    ", expects ",
                    expected,
                    ". Is it an idx file?",
                    says_more ? told(kind) : std::string()));
  }
}

void read_images(const std::filesystem::path& path, MemoryContent& content) {
  detail::ByteSource source(path, content.name);
  expect_magic(source, kImagesMagic);
  const uint32_t count = source.read_u32_be();
  const uint32_t height = source.read_u32_be();
  const uint32_t width = source.read_u32_be();
  if (height < 1 || height > kMaxSide || width < 1 || width > kMaxSide) {
    source.fail(cat("says its images are ", height, "x", width, ", expects 1..", kMaxSide));
  }
  content.shape = {1, height, width};
  const int64_t bytes = int64_t{count} * content.shape.numel();  // below 2^52
  if (count == 0 || bytes > source.most_left()) {
    source.fail(cat("says it has ",
                    count,
                    " images of ",
                    height,
                    "x",
                    width,
                    ", which its size does not allow. Is it truncated?"));
  }
  content.pixels.resize(static_cast<size_t>(bytes));
  source.read(content.pixels);
  source.expect_end();
}

void read_labels(const std::filesystem::path& path, MemoryContent& content) {
  detail::ByteSource source(path, content.name);
  expect_magic(source, kLabelsMagic);
  const int64_t count = source.read_u32_be();
  const int64_t images = static_cast<int64_t>(content.pixels.size()) / content.shape.numel();
  if (count != images) source.fail(cat("has ", count, " labels for ", images, " images"));
  content.labels.resize(static_cast<size_t>(count));
  source.read(content.labels);
  source.expect_end();
  for (size_t i = 0; i < content.labels.size(); ++i) {
    if (content.labels[i] >= content.class_names.size()) {
      source.fail(cat("has label ",
                      int{content.labels[i]},
                      " at ",
                      i,
                      ", expects 0..",
                      content.class_names.size() - 1));
    }
  }
}

std::shared_ptr<const Dataset> open(const std::filesystem::path& folder,
                                    Split split,
                                    MemoryContent content) {
  const std::string prefix = split == Split::Train ? "train" : "t10k";
  const std::string& what = content.name;
  check_file_set(folder);
  read_images(spelt(folder, prefix + "-images-idx3-ubyte", what), content);
  read_labels(spelt(folder, prefix + "-labels-idx1-ubyte", what), content);
  return std::make_shared<MemoryDataset>(std::move(content));
}

}  // namespace

std::shared_ptr<const Dataset> open_mnist(const std::filesystem::path& folder, Split split) {
  return open(folder,
              split,
              {.name = "mnist",
               .shape = {},
               .pixels = {},
               .labels = {},
               .class_names = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"},
               .mean = {0.1307f},
               .stddev = {0.3081f}});
}

std::shared_ptr<const Dataset> open_fashion(const std::filesystem::path& folder, Split split) {
  return open(folder,
              split,
              {.name = "fashion",
               .shape = {},
               .pixels = {},
               .labels = {},
               .class_names = {"T-shirt/top",
                               "Trouser",
                               "Pullover",
                               "Dress",
                               "Coat",
                               "Sandal",
                               "Shirt",
                               "Sneaker",
                               "Bag",
                               "Ankle boot"},
               .mean = {0.2860f},
               .stddev = {0.3530f}});
}

}  // namespace espalier::data
