// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/timing/rounds.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numbers>

#include <espalier/core/kernels/conv2d/micro.h>
#include <espalier/core/parallel.h>

namespace espalier::experiments::timing {
namespace {

// Multiply-adds of a thread between two looks at the clock: about 10 ms.
constexpr int64_t kPeakIterations = 1 << 20;

}  // namespace

double RoundTimes::median() const {
  std::vector<double> sorted = seconds;
  std::ranges::sort(sorted);
  const size_t middle = sorted.size() / 2;
  return sorted.size() % 2 == 1 ? sorted[middle] : 0.5 * (sorted[middle - 1] + sorted[middle]);
}

double RoundTimes::spread() const {
  const auto [low, high] = std::ranges::minmax_element(seconds);
  return (*high - *low) / median();
}

std::vector<RoundTimes> time_in_turns(const std::vector<Side>& sides,
                                      int64_t rounds,
                                      double round_seconds) {
  std::vector<int64_t> calls;
  for (const Side& side : sides) {
    side();
    calls.push_back(std::max<int64_t>(1, static_cast<int64_t>(round_seconds / side())));
  }
  std::vector<RoundTimes> out(sides.size());
  for (int64_t round = 0; round < rounds; ++round) {
    for (size_t i = 0; i < sides.size(); ++i) {
      double sum = 0.0;
      for (int64_t call = 0; call < calls[i]; ++call) sum += sides[i]();
      out[i].seconds.push_back(sum / static_cast<double>(calls[i]));
    }
  }
  return out;
}

TimeDifference measure_difference(const Side& side, int64_t least, double seconds) {
  using Clock = std::chrono::steady_clock;
  side();
  RoundTimes times;
  const auto start = Clock::now();
  while (static_cast<int64_t>(times.seconds.size()) < least ||
         std::chrono::duration<double>(Clock::now() - start).count() < seconds) {
    times.seconds.push_back(side());
  }
  const auto count = static_cast<double>(times.seconds.size());
  const double median = times.median();
  double squares = 0.0;
  for (const double one : times.seconds) squares += (one - median) * (one - median);
  // The median of normal numbers varies by sqrt(pi / 2) of what their mean does.
  const double error =
      std::sqrt(std::numbers::pi / 2.0 * squares / std::max(1.0, count - 1.0) / count);
  return {.seconds = median, .noise = 2.0 * error};
}

Side timed(std::function<void()> work) {
  return [work = std::move(work)] {
    const auto start = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
}

double measure_peak() {
  const int64_t threads = num_threads();
  double best = 0.0;
  for (int round = 0; round < 5; ++round) {
    double operations = 0.0;
    const Side side = timed([&] {
      operations = parallel_sum(threads, 1, [](int64_t begin, int64_t end) {
        return static_cast<double>(end - begin) * detail::fma_peak_loop(kPeakIterations);
      });
    });
    const double seconds = side();
    best = std::max(best, operations / seconds);
  }
  return best;
}

double geometric_mean(const std::vector<double>& numbers) {
  if (numbers.empty()) return 0.0;
  double sum = 0.0;
  for (const double number : numbers) sum += std::log(number);
  return std::exp(sum / static_cast<double>(numbers.size()));
}

}  // namespace espalier::experiments::timing
