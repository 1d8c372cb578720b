// SPDX-License-Identifier: Apache-2.0
// A skeleton to copy: how to add a data set. This one reads a made-up format, "rings": a text line
// `rings HEIGHT WIDTH COUNT`, then COUNT records of a label byte and HEIGHT x WIDTH grey bytes. Run
// it, and it writes such a file, opens it and walks over its batches.
//
// 1. Copy `open_rings` to espalier/data/rings.cpp and declare it in espalier/data/rings.h.
// 2. Add a line to `entries()` in espalier/data/dataset.cpp; now `--data rings` works everywhere.
// 3. Add a line to `all_fixtures()` in espalier/data/tests/fixtures.cpp; tests of spoiled files run
// on it.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <string>

#include <espalier/core/error.h>
#include <espalier/core/io.h>
#include <espalier/data/loader.h>
#include <espalier/data/memory_dataset.h>

namespace {

using namespace espalier;

std::shared_ptr<const data::Dataset> open_rings(const std::filesystem::path& path) {
  const std::vector<uint8_t> bytes = read_file(path, "rings", int64_t{1} << 30);
  const auto line_end = std::find(bytes.begin(), bytes.end(), '\n');
  const std::string head(bytes.begin(), line_end);
  long long height = 0, width = 0, count = 0;
  ESPALIER_CHECK(
      line_end != bytes.end() &&
          std::sscanf(head.c_str(), "rings %4lld %4lld %9lld", &height, &width, &count) == 3 &&
          height > 0 && width > 0 && count > 0,
      IoError,
      "rings: ",
      path.string(),
      " does not begin with 'rings HEIGHT WIDTH COUNT'");
  const int64_t used = std::ssize(head) + 1;
  // Before anything is allocated: does the file hold what its header promises?
  ESPALIER_CHECK(std::ssize(bytes) - used == count * (1 + height * width),
                 IoError,
                 "rings: ",
                 path.string(),
                 " has ",
                 bytes.size(),
                 " bytes, its header promises ",
                 used + count * (1 + height * width));
  data::MemoryContent content{.name = "rings",
                              .shape = {1, height, width},
                              .pixels = {},
                              .labels = {},
                              .class_names = {"disc", "ring"},
                              .mean = {0.5f},
                              .stddev = {0.5f}};
  const uint8_t* record = bytes.data() + used;
  for (long long i = 0; i < count; ++i, record += 1 + height * width) {
    ESPALIER_CHECK(*record < 2, IoError, "rings: ", path.string(), " has label ", int{*record});
    content.labels.push_back(*record);
    content.pixels.insert(content.pixels.end(), record + 1, record + 1 + height * width);
  }
  return std::make_shared<data::MemoryDataset>(std::move(content));
}

void write_rings(const std::filesystem::path& path) {
  std::string text = "rings 8 8 20\n";
  for (int i = 0; i < 20; ++i) {
    text += static_cast<char>(i % 2);
    for (int p = 0; p < 64; ++p) {
      const int y = 2 * (p / 8) - 7, x = 2 * (p % 8) - 7;
      const int radius = y * y + x * x;
      text += static_cast<char>(radius < 40 && (i % 2 == 0 || radius > 10) ? 255 : 0);
    }
  }
  write_file(path, text);
}

}  // namespace

int main() {
  const std::filesystem::path path = std::filesystem::temp_directory_path() / "espalier_rings.bin";
  try {
    write_rings(path);
    data::Loader loader(open_rings(path), {.batch_size = 8, .shuffle = true});
    loader.start_epoch(0);
    while (const auto batch = loader.next()) {
      std::printf("%s, first label %g\n", batch->images.str().c_str(), batch->labels.at({0}));
    }
    std::filesystem::remove(path);
  } catch (const Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
