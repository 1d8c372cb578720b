// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/peers/sides.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include <espalier/core/error.h>

namespace espalier::experiments::peers {

namespace fs = std::filesystem;

std::string beside(const std::string& program, const std::string& package) {
  const fs::path path = fs::read_symlink("/proc/self/exe").parent_path() / program;
  ESPALIER_CHECK(fs::exists(path),
                 IoError,
                 "peers: ",
                 path.string(),
                 " is not built; install ",
                 package,
                 " and configure again with -DESPALIER_PEERS=ON");
  return path.string();
}

Side side_of(Child& child, std::string request, double round_seconds) {
  return [&child, request = std::move(request), round_seconds, count = int64_t{1}]() mutable {
    const double seconds = child.ask(request + std::to_string(count));
    count = std::max<int64_t>(1, static_cast<int64_t>(round_seconds / seconds));
    return seconds;
  };
}

Side repeated(Side side, double round_seconds) {
  return [side = std::move(side), round_seconds, count = int64_t{1}]() mutable {
    double sum = 0.0;
    for (int64_t i = 0; i < count; ++i) sum += side();
    const double seconds = sum / static_cast<double>(count);
    count = std::max<int64_t>(1, static_cast<int64_t>(round_seconds / seconds));
    return seconds;
  };
}

}  // namespace espalier::experiments::peers
