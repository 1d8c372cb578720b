// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/report/chart_files.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <espalier/core/detail/descriptor.h>
#include <espalier/core/error.h>
#include <espalier/core/io.h>
#include <espalier/experiments/report/chart.h>
#include <espalier/experiments/run/outputs.h>

namespace espalier::experiments::report {
namespace {

namespace fs = std::filesystem;
namespace detail = espalier::detail;
using detail::Descriptor;

constexpr const char* kConverter = "rsvg-convert";

// A file in memory, so that what is half made never has a name.
Descriptor memory_file() {
  const Descriptor low(::memfd_create("espalier", MFD_CLOEXEC));
  return Descriptor(::fcntl(low.get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
}

std::vector<uint8_t> whole_content(const Descriptor& file) {
  std::vector<uint8_t> out(
      static_cast<size_t>(std::max<off_t>(0, ::lseek(file.get(), 0, SEEK_END))));
  for (size_t done = 0; done < out.size();) {
    const ssize_t got =
        ::pread(file.get(), out.data() + done, out.size() - done, static_cast<off_t>(done));
    if (got < 0 && errno == EINTR) continue;
    ESPALIER_CHECK(got > 0, IoError, "report: can't read a picture: ", detail::system_reason());
    done += static_cast<size_t>(got);
  }
  return out;
}

std::vector<uint8_t> png_of(const std::string& svg, const fs::path& png) {
  const Descriptor in = memory_file();
  const Descriptor out = memory_file();
  const auto size = static_cast<ssize_t>(svg.size());
  ESPALIER_CHECK(in.open() && out.open() && ::write(in.get(), svg.data(), svg.size()) == size &&
                     ::lseek(in.get(), 0, SEEK_SET) == 0,
                 IoError,
                 "report: can't make ",
                 png.string(),
                 ": ",
                 detail::system_reason());
  posix_spawn_file_actions_t streams;
  ::posix_spawn_file_actions_init(&streams);
  ::posix_spawn_file_actions_adddup2(&streams, in.get(), STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&streams, out.get(), STDOUT_FILENO);
  std::vector<std::string> words = {kConverter, "--zoom", "2"};
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_t child = 0;
  const int error =
      ::posix_spawnp(&child, kConverter, &streams, nullptr, arguments.data(), environ);
  ::posix_spawn_file_actions_destroy(&streams);
  ESPALIER_CHECK(error == 0,
                 IoError,
                 "report: PNG pictures need the program ",
                 kConverter,
                 " (Debian: apt-get install librsvg2-bin): ",
                 std::strerror(error));
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  ESPALIER_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0,
                 IoError,
                 "report: ",
                 kConverter,
                 " could not make ",
                 png.string());
  return whole_content(out);
}

}  // namespace

std::vector<fs::path> write_charts(const Report& report,
                                   const fs::path& folder,
                                   ChartFormat format) {
  std::vector<fs::path> out;
  for (const auto& charts : {report.cost_charts(),
                             report.training_charts(),
                             report.density_charts(),
                             report.timing_charts()}) {
    for (const NamedChart& chart : charts) {
      const bool svg = format == ChartFormat::Svg;
      const fs::path path = folder / (chart.name + (svg ? ".svg" : ".png"));
      check_outputs(
          "report", {{svg ? "--svg" : "--png", path, svg ? FileKind::Svg : FileKind::Png}}, {});
      const std::string picture = standalone_svg(chart.svg);
      if (svg) {
        write_file(path, picture);
      } else {
        const std::vector<uint8_t> png = png_of(picture, path);
        write_file(path, png.data(), static_cast<int64_t>(png.size()));
      }
      out.push_back(path);
    }
  }
  return out;
}

}  // namespace espalier::experiments::report
