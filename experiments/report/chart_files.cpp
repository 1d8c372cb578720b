// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/report/chart_files.h>

#include <cerrno>
#include <cstring>

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <espalier/core/error.h>
#include <espalier/core/io.h>
#include <espalier/experiments/report/chart.h>

namespace espalier::experiments {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConverter = "rsvg-convert";

void convert(const fs::path& svg, const fs::path& png) {
  std::vector<std::string> words = {
      kConverter, "--zoom", "2", "--output", png.string(), svg.string()};
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_t child = 0;
  const int error = ::posix_spawnp(&child, kConverter, nullptr, nullptr, arguments.data(), environ);
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
      if (format == ChartFormat::Svg) {
        out.push_back(folder / (chart.name + ".svg"));
        write_file(out.back(), standalone_svg(chart.svg));
        continue;
      }
      // Not the name of a chart that was asked for as SVG in the same folder.
      const fs::path svg = folder / (chart.name + ".png.svg");
      write_file(svg, standalone_svg(chart.svg));
      out.push_back(folder / (chart.name + ".png"));
      convert(svg, out.back());
      fs::remove(svg);
    }
  }
  return out;
}

}  // namespace espalier::experiments
