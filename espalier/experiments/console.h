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
  bool terminal = false;           ///< a person watches `err`: a line may be rewritten in place
  std::ostream* screen = nullptr;  ///< `err` without its guard, for what rewrites the line
};

/// `1:02:03` or `4:05`.
std::string clock_text(double seconds);

/// Progress of long work: on a terminal one line rewritten at most ten times a second, with the
/// estimated time left; otherwise only the lines passed to `line`.
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
  /// `done` of `total` units are finished; `text` tells what they show.
  void update(int64_t done, std::string_view text);
  /// A line that stays.
  void line(std::string_view text);

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
