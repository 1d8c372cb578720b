// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/console.h>

#include <algorithm>
#include <ostream>

#include <fmt/format.h>

namespace espalier::experiments {
namespace {

// Back to the start of the line, and erase it.
constexpr std::string_view kEraseLine = "\r\x1b[K";

}  // namespace

std::string clock_text(double seconds) {
  const auto s = static_cast<int64_t>(std::max(0.0, seconds) + 0.5);
  if (s < 3600) return fmt::format("{}:{:02}", s / 60, s % 60);
  return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
}

Progress::Progress(Console& console, int64_t total) : console_(console), total_(total) {}

Progress::~Progress() {
  clear();
}

void Progress::clear() {
  if (visible_) erase_line();
  visible_ = false;
}

void Progress::erase_line() {
  console_.err << std::flush;
  (console_.screen != nullptr ? *console_.screen : console_.err) << kEraseLine << std::flush;
}

void Progress::start_at(int64_t done) {
  first_ = done;
  start_ = Clock::now();
}

void Progress::update(int64_t done, std::string_view text) {
  if (!console_.terminal) return;
  const Clock::time_point now = Clock::now();
  if (now - shown_ < std::chrono::milliseconds(100)) return;
  shown_ = now;
  const double elapsed = std::chrono::duration<double>(now - start_).count();
  const auto here = static_cast<double>(done - first_);
  const std::string left =
      here > 0 ? clock_text(elapsed * static_cast<double>(total_ - done) / here) : "?";
  erase_line();
  console_.err << fmt::format("{:3}%  {}/{}  {}  {} left",
                              total_ > 0 ? 100 * done / total_ : 100,
                              done,
                              total_,
                              text,
                              left)
               << std::flush;
  visible_ = true;
}

void Progress::line(std::string_view text) {
  clear();
  console_.err << text << '\n' << std::flush;
}

void tell(const std::vector<std::string>& notes, Console& console) {
  for (const std::string& note : notes) console.err << "note: " << note << '\n';
}

}  // namespace espalier::experiments
