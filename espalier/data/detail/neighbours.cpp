// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/detail/neighbours.h>

#include <system_error>

#include <espalier/core/error.h>
#include <espalier/core/file_kind.h>

namespace espalier::data::detail {
namespace {

namespace fs = std::filesystem;

// What else a data set is published as: folders below the place or the root, and names.
struct Foreign {
  std::string name;
  std::vector<std::string> pickle_folders;  // besides the place itself
  std::string pickle;                       // a file that each of them holds
  std::vector<std::string> archives;        // of the version that is read
  std::vector<std::string> foreign_archives;
};

const std::vector<Foreign>& foreign() {
  static const std::vector<Foreign> list = {
      {"cifar10",
       {"cifar-10-batches-py"},
       "data_batch_1",
       {"cifar-10-binary.tar.gz"},
       {"cifar-10-python.tar.gz"}},
      {"cifar100",
       {"cifar-100-python"},
       "train",
       {"cifar-100-binary.tar.gz"},
       {"cifar-100-python.tar.gz"}},
  };
  return list;
}

std::string lookalikes(const Foreign& of, const fs::path& root, const fs::path& place) {
  const auto is_pickle = [](const fs::path& path) { return file_kind(path) == FileKind::Pickle; };
  const auto is_file = [](const fs::path& path) {
    std::error_code error;
    return fs::is_regular_file(path, error);
  };
  const std::string binary = cat("The binary version (", of.archives.front(), ") is");
  std::vector<fs::path> folders = {place, root};
  for (const std::string& name : of.pickle_folders) {
    folders.push_back(place / name);
    folders.push_back(root / name);
  }
  for (const fs::path& folder : folders) {
    if (!is_pickle(folder / of.pickle)) continue;
    return cat(". ",
               (folder / of.pickle).string(),
               " is of the Python version, a pickle, which can run any program and is not read. ",
               binary);
  }
  for (const fs::path& folder : {place, root}) {
    for (const std::string& name : of.archives) {
      if (is_file(folder / name)) {
        return cat(". ", (folder / name).string(), " is there, but not unpacked");
      }
    }
    for (const std::string& name : of.foreign_archives) {
      if (is_file(folder / name)) {
        return cat(
            ". ", (folder / name).string(), " is the Python version, which is not read. ", binary);
      }
    }
  }
  return {};
}

}  // namespace

std::vector<std::string> spellings(const std::string& official_name) {
  const size_t mark = official_name.find("-idx");
  if (mark == std::string::npos) return {official_name};
  std::string dotted = official_name;
  dotted[mark] = '.';
  std::vector<std::string> out;
  for (const std::string& name : {official_name, dotted}) {
    out.push_back(name);
    out.push_back(name + ".gz");
  }
  for (const std::string& folder : {official_name, dotted}) {
    for (const std::string& name : {official_name, dotted}) out.push_back(folder + "/" + name);
  }
  return out;
}

std::string lookalikes(const std::string& name, const fs::path& root, const std::string& folder) {
  for (const Foreign& one : foreign()) {
    if (one.name == name) return lookalikes(one, root, root / folder);
  }
  return {};
}

}  // namespace espalier::data::detail
