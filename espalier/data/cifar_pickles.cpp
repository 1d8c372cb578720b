// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <utility>
#include <vector>

#include <espalier/core/error.h>
#include <espalier/core/io.h>
#include <espalier/data/cifar.h>
#include <espalier/data/detail/file_checks.h>
#include <espalier/data/detail/pickled_array.h>
#include <espalier/data/memory_dataset.h>

namespace espalier::data {
namespace {

using detail::Pickle;
using detail::PickleNode;
using Kind = PickleNode::Kind;

constexpr int64_t kImageBytes = 3 * 32 * 32;
// Far above every published file, far below what harms.
constexpr int64_t kMaxFileBytes = int64_t{1} << 31;

// Where things are under which key.
struct Keys {
  const char* labels;
  const char* names;
  int64_t classes;
};

std::unique_ptr<Pickle> read_pickle(const std::filesystem::path& path, const char* what) {
  std::vector<uint8_t> bytes = read_file(path, what, kMaxFileBytes);
  return std::make_unique<Pickle>(std::move(bytes),
                                  cat(what, ": ", path.string()),
                                  detail::PickleLimits{.globals = detail::numpy_globals()});
}

std::vector<std::string> read_names(const std::filesystem::path& path,
                                    const char* what,
                                    const Keys& keys) {
  const auto pickle = read_pickle(path, what);
  std::vector<std::string> names;
  for (const PickleNode* name : pickle->at(pickle->root(), keys.names, Kind::List).items) {
    if (name->kind != Kind::Text) pickle->fail("a name of a class is no text");
    detail::check_class_name(name->text, path.string(), what);
    names.emplace_back(name->text);
  }
  if (names.empty() || static_cast<int64_t>(names.size()) > keys.classes) {
    pickle->fail(cat("has ", names.size(), " names of classes, expects 1 to ", keys.classes));
  }
  return names;
}

void append_file(const std::filesystem::path& path,
                 const char* what,
                 const Keys& keys,
                 MemoryContent& content) {
  const auto pickle = read_pickle(path, what);
  const PickleNode& root = pickle->root();
  const detail::PickledBytes images =
      detail::pickled_bytes(*pickle, pickle->at(root, "data", Kind::Call));
  const auto& labels = pickle->at(root, keys.labels, Kind::List).items;
  const auto count = static_cast<int64_t>(labels.size());
  if (images.columns != kImageBytes || images.rows != count || count == 0) {
    pickle->fail(cat("has images ",
                     images.rows,
                     "x",
                     images.columns,
                     " and ",
                     count,
                     " labels; expects Nx",
                     kImageBytes,
                     " and N, above 0"));
  }
  const auto classes = static_cast<int64_t>(content.class_names.size());
  for (int64_t i = 0; i < count; ++i) {
    const PickleNode& label = *labels[static_cast<size_t>(i)];
    if (label.kind != Kind::Int) pickle->fail(cat("label ", i, " is ", name(label.kind)));
    if (label.whole < 0 || label.whole >= classes) {
      pickle->fail(cat("has label ", label.whole, " in record ", i, ", expects 0..", classes - 1));
    }
    content.labels.push_back(static_cast<uint8_t>(label.whole));
  }
  content.pixels.insert(content.pixels.end(), images.values.begin(), images.values.end());
}

}  // namespace

std::shared_ptr<const Dataset> open_cifar10_pickles(const std::filesystem::path& folder,
                                                    Split split) {
  const Keys keys{.labels = "labels", .names = "label_names", .classes = 10};
  MemoryContent content{.name = "cifar10",
                        .shape = {},
                        .pixels = {},
                        .labels = {},
                        .class_names = read_names(folder / "batches.meta", "cifar10", keys),
                        .mean = {0.4914f, 0.4822f, 0.4465f},
                        .stddev = {0.2470f, 0.2435f, 0.2616f}};
  if (split == Split::Test) {
    append_file(folder / "test_batch", "cifar10", keys, content);
  } else {
    for (int batch = 1; batch <= 5; ++batch) {
      append_file(folder / cat("data_batch_", batch), "cifar10", keys, content);
    }
  }
  return std::make_shared<MemoryDataset>(std::move(content));
}

std::shared_ptr<const Dataset> open_cifar100_pickles(const std::filesystem::path& folder,
                                                     Split split) {
  const Keys keys{.labels = "fine_labels", .names = "fine_label_names", .classes = 100};
  MemoryContent content{.name = "cifar100",
                        .shape = {},
                        .pixels = {},
                        .labels = {},
                        .class_names = read_names(folder / "meta", "cifar100", keys),
                        .mean = {0.5071f, 0.4865f, 0.4409f},
                        .stddev = {0.2673f, 0.2564f, 0.2762f}};
  append_file(folder / (split == Split::Test ? "test" : "train"), "cifar100", keys, content);
  return std::make_shared<MemoryDataset>(std::move(content));
}

}  // namespace espalier::data
