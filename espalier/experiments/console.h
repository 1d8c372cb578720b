// SPDX-License-Identifier: Apache-2.0
/// Where the command writes: results to `out`, progress and errors to `err`.
#pragma once

#include <chrono>
#include <cstdint>
#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

namespace espalier::experiments {

/// The streams of one invocation.
struct Console {
  std::ostream& out;
  std::ostream& err;
  bool terminal = false;             ///< a person watches `err`: a line may be rewritten in place
  std::ostream* screen = nullptr;    ///< `err` without its guard, for what rewrites the line
  bool colour = false;               ///< `err` may be coloured (`wants_colour`)
  int columns = 0;                   ///< of the terminal; 0: asked whenever they matter
  std::string program = "espalier";  ///< how the command was called, for commands to copy

  /// The same terminal behind streams that guard its own.
  Console with_guard(std::ostream& guarded_out, std::ostream& guarded_err) const {
    return {.out = guarded_out,
            .err = guarded_err,
            .terminal = terminal,
            .screen = &err,
            .colour = colour,
            .columns = columns,
            .program = program};
  }
};

/// False where NO_COLOR is set, or the terminal knows no colours.
bool wants_colour();
/// Columns of a line: as the console says, else the terminal's, else those of the environment's
/// COLUMNS, else 80.
size_t columns_of(const Console& console);

/// How words stand out on a terminal.
enum class Colour : uint8_t { Plain, Dim, Green, Yellow, Red };
/// Writes `text` to `err`, coloured where that is wanted.
void paint(const Console& console, Colour colour, std::string_view text);

/// A part of a line, and when it is left out where the line is too long: the highest first, 0
/// never.
struct LinePart {
  std::string text;
  int dispensable = 0;
};
/// The parts that fit into so many columns, two blanks between them; what is left is cut there.
std::string fitted(std::vector<LinePart> parts, size_t columns);

/// `1:02:03` or `4:05`.
std::string clock_text(double seconds);

/// Progress of long work: on a terminal one line rewritten at most ten times a second, as wide as
/// the terminal, with the estimated time left; otherwise only the lines passed to `line`.
class Progress {
 public:
  Progress(Console& console, int64_t total);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// The work is longer by `more` units.
  void extend(int64_t more) { total_ += more; }
  /// `done` units were finished by an earlier run and don't count for the estimate.
  void start_at(int64_t done);
  /// `done` of `total` units are finished; `parts` tell what they show.
  void update(int64_t done, const std::vector<LinePart>& parts);
  /// A line that stays.
  void line(std::string_view text);
  /// The same of parts, those that fit on a terminal and elsewhere all.
  void line(const std::vector<LinePart>& parts);

 private:
  using Clock = std::chrono::steady_clock;

  void clear();
  void erase_line();

  Console& console_;
  int64_t total_;
  int64_t first_ = 0;
  Clock::time_point start_ = Clock::now();
  Clock::time_point shown_ = {};
  bool visible_ = false;
};

/// Writes notes to `err`, a line each.
void tell(const std::vector<std::string>& notes, Console& console);

}  // namespace espalier::experiments
