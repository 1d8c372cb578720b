// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/command/plugins.h>

#include <dlfcn.h>

#include <string_view>

#include <espalier/core/error.h>
#include <espalier/core/version.h>

namespace espalier::experiments {
namespace {

constexpr std::string_view kFlag = "--plugin";

template <class Function>
Function* find(void* object, const char* name, const std::filesystem::path& path) {
  void* const symbol = ::dlsym(object, name);
  ESPALIER_CHECK(symbol != nullptr,
                 IoError,
                 "plugin ",
                 path.string(),
                 ": expected a function ",
                 name,
                 ", as ESPALIER_PLUGIN makes it, found none");
  return reinterpret_cast<Function*>(symbol);
}

}  // namespace

void load_plugin(const std::filesystem::path& path) {
  ESPALIER_CHECK(std::filesystem::is_regular_file(path),
                 IoError,
                 "plugin ",
                 path.string(),
                 ": expected a shared object, found no file");
  // With a slash in it, or the system's folders are searched.
  const std::string file = std::filesystem::absolute(path).string();
  void* const object = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  ESPALIER_CHECK(object != nullptr, IoError, "plugin ", path.string(), ": ", ::dlerror());
  const std::string version = find<const char*()>(object, "espalier_plugin_version", path)();
  ESPALIER_CHECK(version == kVersion,
                 ValueError,
                 "plugin ",
                 path.string(),
                 ": expected one built for version ",
                 kVersion,
                 ", got one for ",
                 version);
  const auto add = find<void()>(object, "espalier_plugin_register", path);
  try {
    add();
  } catch (const std::exception& error) {
    throw ValueError(cat("plugin ", path.string(), ": ", error.what()));
  }
}

std::vector<std::string> load_plugins(const std::vector<std::string>& arguments) {
  std::vector<std::string> left;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (argument == kFlag) {
      ESPALIER_CHECK(i + 1 < arguments.size(), ValueError, kFlag, ": expected a file behind it");
      load_plugin(arguments[++i]);
    } else if (argument.starts_with(std::string(kFlag) + "=")) {
      load_plugin(argument.substr(kFlag.size() + 1));
    } else {
      left.push_back(argument);
    }
  }
  return left;
}

}  // namespace espalier::experiments
