// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/cifar.h>

#include <algorithm>
#include <sstream>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <espalier/core/error.h>
#include <espalier/core/file_kind.h>
#include <espalier/core/file_set.h>
#include <espalier/core/io.h>
#include <espalier/data/detail/file_checks.h>
#include <espalier/data/detail/record_counts.h>
#include <espalier/data/memory_dataset.h>

namespace espalier::data {
namespace {

constexpr int64_t kImageBytes = 3 * 32 * 32;
// Far above every published file (CIFAR-100's train.bin has 154 MB), far below what harms.
constexpr int64_t kMaxFileBytes = int64_t{1} << 31;
constexpr const char* kNamesFile = "batches.meta.txt";

// One label byte in front of the pixels, or several of which the last counts.
struct RecordLayout {
  std::vector<int> label_limits;
  std::vector<detail::OfficialFile> files;
  int64_t bytes() const { return static_cast<int64_t>(label_limits.size()) + kImageBytes; }
};

/// Files of which the pixels are read one after the other.
using FileNames = std::vector<std::string>;

/// At once for all files: growing with each would copy what is there again and again.
void reserve_for(const std::filesystem::path& folder,
                 const FileNames& names,
                 MemoryContent& content) {
  uintmax_t bytes = 0;
  for (const std::string& name : names) {
    std::error_code missing;  // reading the file says it better
    const uintmax_t size = std::filesystem::file_size(folder / name, missing);
    if (!missing) bytes += std::min(size, static_cast<uintmax_t>(kMaxFileBytes));
  }
  content.pixels.reserve(static_cast<size_t>(bytes));
  content.labels.reserve(static_cast<size_t>(bytes) / kImageBytes);
}

void append_file(const std::filesystem::path& folder,
                 const std::string& name,
                 const char* what,
                 const RecordLayout& layout,
                 MemoryContent& content) {
  const std::filesystem::path path = folder / name;
  const std::vector<uint8_t> bytes = read_file(path, what, kMaxFileBytes);
  const auto size = static_cast<int64_t>(bytes.size());
  ESPALIER_CHECK(size > 0 && size % layout.bytes() == 0,
                 IoError,
                 what,
                 ": ",
                 path.string(),
                 " has ",
                 size,
                 " bytes, expects a positive multiple of ",
                 layout.bytes(),
                 ". Is it truncated, or not the binary version?",
                 told(file_kind(bytes)));
  const int64_t records = size / layout.bytes();
  detail::check_records(what, folder, name, records, layout.bytes(), layout.files);
  for (int64_t i = 0; i < records; ++i) {
    const uint8_t* record = bytes.data() + i * layout.bytes();
    for (int limit : layout.label_limits) {
      ESPALIER_CHECK(*record < limit,
                     IoError,
                     what,
                     ": ",
                     path.string(),
                     " has label ",
                     int{*record},
                     " in record ",
                     i,
                     ", expects 0..",
                     limit - 1);
      ++record;
    }
    content.labels.push_back(record[-1]);
    content.pixels.insert(content.pixels.end(), record, record + kImageBytes);
  }
}

void append_files(const std::filesystem::path& folder,
                  const FileNames& names,
                  const char* what,
                  const RecordLayout& layout,
                  MemoryContent& content) {
  reserve_for(folder, names, content);
  for (const std::string& name : names) append_file(folder, name, what, layout, content);
}

void append_record(std::vector<uint8_t>& bytes, const Dataset& dataset, int64_t index) {
  bytes.push_back(static_cast<uint8_t>(dataset.label(index)));
  const size_t start = bytes.size();
  bytes.resize(start + static_cast<size_t>(kImageBytes));
  dataset.read(index, std::span(bytes).subspan(start));
}

void write_records(
    FileSet& files, const std::string& name, const Dataset& dataset, int64_t begin, int64_t end) {
  std::vector<uint8_t> bytes;
  bytes.reserve(static_cast<size_t>((end - begin) * (1 + kImageBytes)));
  for (int64_t i = begin; i < end; ++i) append_record(bytes, dataset, i);
  files.write(name, bytes.data(), static_cast<int64_t>(bytes.size()));
}

void check_writable(const Dataset& dataset, int64_t min_size) {
  ESPALIER_CHECK(dataset.image_shape() == ImageShape{} && dataset.class_names().size() <= 10 &&
                     dataset.size() >= min_size,
                 ValueError,
                 "write_cifar10: data set ",
                 dataset.name(),
                 " has ",
                 dataset.size(),
                 " images and ",
                 dataset.class_names().size(),
                 " classes; expects at least ",
                 min_size,
                 " images of 3x32x32 and at most 10 classes");
}

const RecordLayout& cifar10_layout() {
  static const RecordLayout layout{{10},
                                   {{"data_batch_1.bin", 10000},
                                    {"data_batch_2.bin", 10000},
                                    {"data_batch_3.bin", 10000},
                                    {"data_batch_4.bin", 10000},
                                    {"data_batch_5.bin", 10000},
                                    {"test_batch.bin", 10000}}};
  return layout;
}

const RecordLayout& cifar100_layout() {
  static const RecordLayout layout{{20, 100}, {{"train.bin", 50000}, {"test.bin", 10000}}};
  return layout;
}

const std::vector<std::string>& cifar10_classes() {
  static const std::vector<std::string> names = {
      "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"};
  return names;
}

// What batches.meta.txt says, a name a line; without that file the official names.
std::vector<std::string> names_in(const std::filesystem::path& folder) {
  constexpr int64_t kMostBytes = 4096;
  constexpr size_t kMostNames = 10;
  const std::filesystem::path path = folder / kNamesFile;
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return cifar10_classes();
  const std::vector<uint8_t> bytes = read_file(path, "cifar10", kMostBytes);
  std::istringstream lines(std::string(bytes.begin(), bytes.end()));
  std::vector<std::string> names;
  for (std::string name; std::getline(lines, name);) {
    if (name.ends_with('\r')) name.pop_back();
    if (!name.empty()) names.push_back(name);
  }
  ESPALIER_CHECK(!names.empty() && names.size() <= kMostNames,
                 IoError,
                 "cifar10: ",
                 path.string(),
                 " has ",
                 names.size(),
                 " names of classes, expects 1 to ",
                 kMostNames,
                 ", one a line",
                 told(file_kind(bytes)));
  for (const std::string& name : names) detail::check_class_name(name, path.string(), "cifar10");
  return names;
}

// In the order of fine_label_names.txt of the official archive (alphabetical).
const std::vector<std::string>& cifar100_classes() {
  static const std::vector<std::string> names = {
      "apple",       "aquarium_fish", "baby",      "bear",       "beaver",       "bed",
      "bee",         "beetle",        "bicycle",   "bottle",     "bowl",         "boy",
      "bridge",      "bus",           "butterfly", "camel",      "can",          "castle",
      "caterpillar", "cattle",        "chair",     "chimpanzee", "clock",        "cloud",
      "cockroach",   "couch",         "crab",      "crocodile",  "cup",          "dinosaur",
      "dolphin",     "elephant",      "flatfish",  "forest",     "fox",          "girl",
      "hamster",     "house",         "kangaroo",  "keyboard",   "lamp",         "lawn_mower",
      "leopard",     "lion",          "lizard",    "lobster",    "man",          "maple_tree",
      "motorcycle",  "mountain",      "mouse",     "mushroom",   "oak_tree",     "orange",
      "orchid",      "otter",         "palm_tree", "pear",       "pickup_truck", "pine_tree",
      "plain",       "plate",         "poppy",     "porcupine",  "possum",       "rabbit",
      "raccoon",     "ray",           "road",      "rocket",     "rose",         "sea",
      "seal",        "shark",         "shrew",     "skunk",      "skyscraper",   "snail",
      "snake",       "spider",        "squirrel",  "streetcar",  "sunflower",    "sweet_pepper",
      "table",       "tank",          "telephone", "television", "tiger",        "tractor",
      "train",       "trout",         "tulip",     "turtle",     "wardrobe",     "whale",
      "willow_tree", "wolf",          "woman",     "worm"};
  return names;
}

}  // namespace

std::shared_ptr<const Dataset> open_cifar10(const std::filesystem::path& folder, Split split) {
  MemoryContent content{.name = "cifar10",
                        .shape = {},
                        .pixels = {},
                        .labels = {},
                        .class_names = names_in(folder),
                        .mean = {0.4914f, 0.4822f, 0.4465f},
                        .stddev = {0.2470f, 0.2435f, 0.2616f}};
  check_file_set(folder);
  RecordLayout layout = cifar10_layout();
  layout.label_limits = {static_cast<int>(content.class_names.size())};
  FileNames names;
  for (const detail::OfficialFile& file : layout.files) {
    const bool is_test = file.name == "test_batch.bin";
    if (is_test == (split == Split::Test)) names.push_back(file.name);
  }
  append_files(folder, names, "cifar10", layout, content);
  return std::make_shared<MemoryDataset>(std::move(content));
}

std::shared_ptr<const Dataset> open_cifar100(const std::filesystem::path& folder, Split split) {
  MemoryContent content{.name = "cifar100",
                        .shape = {},
                        .pixels = {},
                        .labels = {},
                        .class_names = cifar100_classes(),
                        .mean = {0.5071f, 0.4865f, 0.4409f},
                        .stddev = {0.2673f, 0.2564f, 0.2762f}};
  check_file_set(folder);
  append_files(folder,
               {split == Split::Test ? "test.bin" : "train.bin"},
               "cifar100",
               cifar100_layout(),
               content);
  return std::make_shared<MemoryDataset>(std::move(content));
}

void write_cifar10(const std::filesystem::path& folder, const Dataset& train, const Dataset& test) {
  constexpr int64_t kBatches = 5;
  check_writable(train, kBatches);
  check_writable(test, 1);
  FileSet files(folder);
  std::string counts = cat("test_batch.bin ", test.size(), "\n");
  for (int64_t batch = 0; batch < kBatches; ++batch) {
    const std::string name = cat("data_batch_", batch + 1, ".bin");
    const int64_t begin = batch * train.size() / kBatches;
    const int64_t end = (batch + 1) * train.size() / kBatches;
    write_records(files, name, train, begin, end);
    counts += cat(name, " ", end - begin, "\n");
  }
  write_records(files, "test_batch.bin", test, 0, test.size());
  files.write(detail::kRecordsFile, counts);
  std::string names;
  for (const std::string& name : train.class_names()) names += name + "\n";
  files.write(kNamesFile, names);
  files.commit();
}

}  // namespace espalier::data
