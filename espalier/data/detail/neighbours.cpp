// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/detail/neighbours.h>

#include <system_error>

#include <espalier/core/error.h>

namespace espalier::data::detail {
namespace {

namespace fs = std::filesystem;

// The archives that a data set is published as.
struct Archives {
  std::string name;
  std::vector<std::string> files;
};

const std::vector<Archives>& archives() {
  static const std::vector<Archives> list = {
      {"cifar10", {"cifar-10-binary.tar.gz", "cifar-10-python.tar.gz"}},
      {"cifar100", {"cifar-100-binary.tar.gz", "cifar-100-python.tar.gz"}},
  };
  return list;
}

std::string lookalikes(const Archives& of, const fs::path& root, const fs::path& place) {
  for (const fs::path& folder : {place, root}) {
    for (const std::string& name : of.files) {
      std::error_code error;
      if (fs::is_regular_file(folder / name, error)) {
        return cat(". ", (folder / name).string(), " is there, but not unpacked");
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
  for (const Archives& one : archives()) {
    if (one.name == name) return lookalikes(one, root, root / folder);
  }
  return {};
}

}  // namespace espalier::data::detail
