// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/console.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <limits>
#include <ostream>
#include <utility>

#include <sys/ioctl.h>
#include <unistd.h>

#include <fmt/format.h>

namespace espalier::experiments {
namespace {

// Back to the start of the line, and erase it.
constexpr std::string_view kEraseLine = "\r\x1b[K";

std::string_view code_of(Colour colour) {
  switch (colour) {
    case Colour::Plain:
      return "";
    case Colour::Dim:
      return "\x1b[2m";
    case Colour::Green:
      return "\x1b[32m";
    case Colour::Yellow:
      return "\x1b[33m";
    case Colour::Red:
      return "\x1b[31m";
  }
  return "";
}

// Past the guard, which spells out controls.
void write_control(const Console& console, std::string_view code) {
  console.err << std::flush;
  (console.screen != nullptr ? *console.screen : console.err) << code << std::flush;
}

bool continues_character(char c) {
  return (static_cast<unsigned char>(c) & 0xc0) == 0x80;
}

// Characters of UTF-8.
size_t width_of(std::string_view text) {
  return text.size() - static_cast<size_t>(std::ranges::count_if(text, continues_character));
}

std::string cut(std::string text, size_t columns) {
  size_t at = 0;
  for (size_t seen = 0; at < text.size(); ++at) {
    if (!continues_character(text[at]) && seen++ == columns) break;
  }
  text.resize(at);
  return text;
}

std::string bar_of(int64_t done, int64_t total, size_t columns) {
  const size_t full = total > 0
                          ? columns * static_cast<size_t>(std::clamp<int64_t>(done, 0, total)) /
                                static_cast<size_t>(total)
                          : columns;
  return "[" + std::string(full, '=') + std::string(columns - full, ' ') + "]";
}

}  // namespace

bool wants_colour() {
  const char* refused = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  const std::string_view kind = terminal == nullptr ? "" : terminal;
  return (refused == nullptr || *refused == '\0') && !kind.empty() && kind != "dumb";
}

size_t columns_of(const Console& console) {
  if (console.columns > 0) return static_cast<size_t>(console.columns);
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  const char* told = std::getenv("COLUMNS");
  const std::string_view text = told == nullptr ? "" : told;
  size_t columns = 0;
  std::from_chars(text.data(), text.data() + text.size(), columns);
  return columns > 0 ? columns : 80;
}

void paint(const Console& console, Colour colour, std::string_view text) {
  const bool coloured = console.colour && colour != Colour::Plain;
  if (coloured) write_control(console, code_of(colour));
  console.err << text;
  if (coloured) write_control(console, "\x1b[0m");
}

std::string fitted(std::vector<LinePart> parts, size_t columns) {
  const auto joined = [&] {
    std::string line;
    for (const LinePart& part : parts) line += (line.empty() ? "" : "  ") + part.text;
    return line;
  };
  std::string line = joined();
  while (width_of(line) > columns) {
    const auto last = std::ranges::max_element(parts, {}, &LinePart::dispensable);
    if (last == parts.end() || last->dispensable == 0) return cut(std::move(line), columns);
    parts.erase(last);
    line = joined();
  }
  return line;
}

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
  write_control(console_, kEraseLine);
}

void Progress::start_at(int64_t done) {
  first_ = done;
  start_ = Clock::now();
}

void Progress::update(int64_t done, const std::vector<LinePart>& parts) {
  if (!console_.terminal) return;
  const Clock::time_point now = Clock::now();
  if (now - shown_ < std::chrono::milliseconds(100)) return;
  shown_ = now;
  const double elapsed = std::chrono::duration<double>(now - start_).count();
  const auto here = static_cast<double>(done - first_);
  const std::string left =
      here > 0 ? clock_text(elapsed * static_cast<double>(total_ - done) / here) : "?";
  constexpr size_t kShortestBar = 10, kLongestBar = 30;
  const std::string share = fmt::format("{:3}%", total_ > 0 ? 100 * done / total_ : 100);
  std::vector<LinePart> all = {
      {fmt::format("{:{}}/{}", done, std::to_string(total_).size(), total_), 9}};
  all.insert(all.end(), parts.begin(), parts.end());
  all.push_back({fmt::format("{:>5} left", left), 1});
  const size_t columns = columns_of(console_);  // of which the last stays free for the cursor
  const size_t rest = columns > share.size() + 3 ? columns - share.size() - 3 : 0;
  const std::string line = fitted(std::move(all), rest);
  erase_line();
  paint(console_, Colour::Green, share);
  if (rest >= width_of(line) + 4 + kShortestBar) {
    const size_t bar = std::min(kLongestBar, rest - width_of(line) - 4);
    console_.err << "  ";
    paint(console_, Colour::Green, bar_of(done, total_, bar));
  }
  console_.err << "  " << line << std::flush;
  visible_ = true;
}

void Progress::line(std::string_view text) {
  clear();
  console_.err << text << '\n' << std::flush;
}

void Progress::line(const std::vector<LinePart>& parts) {
  line(
      fitted(parts, console_.terminal ? columns_of(console_) : std::numeric_limits<size_t>::max()));
}

void tell(const std::vector<std::string>& notes, Console& console) {
  for (const std::string& note : notes) {
    paint(console, Colour::Yellow, "note: ");
    console.err << note << '\n';
  }
}

}  // namespace espalier::experiments
