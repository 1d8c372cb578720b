// SPDX-License-Identifier: Apache-2.0
#include <espalier/sparse/kernels/conv2d_planes_code.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <tuple>

#include <espalier/core/kernels/conv2d/padded.h>
#include <espalier/core/simd.h>

namespace espalier::sparse::detail {
namespace {

using espalier::detail::ceil_div;
using espalier::detail::kPlanesVector;

// Output channels of a panel: their sums fill so many registers. Behind them vectors of the input,
// so many in turns; where sums end, the limits stand there. Twice as many positions for half of the
// channels were slower: they make twice as many bytes of code for a product.
constexpr int kSums = 28;
constexpr int kInputs = 4;
constexpr int kLow = kSums;
constexpr int kHigh = kSums + 1;
constexpr int kMask = 1;
constexpr int64_t kFloat = sizeof(float);
// A value's address within this distance makes a short instruction.
constexpr int64_t kReach = 128;
// More code is read from L3 again and again; its instructions take about nine bytes each.
constexpr size_t kMostEntries = 400 << 10;

/// What the code finds at R9.
struct End {
  const void* code;  // that finishes the sums
  float low, high;
  uint32_t mask;
};

using Fn = void (*)(const float* x,         // rdi
                    const float* values,    // rsi
                    const float* start,     // rdx
                    const float* residual,  // rcx
                    float* y,               // r8
                    const End* end);        // r9

/// Sums of one panel's entries, which are ordered by offset.
void append_panel(Assembler& code, std::span<const CodeEntry> entries, int64_t first, int count) {
  for (int k = 0; k < count; ++k) code.broadcast(k, {Base::Rdx, k * kFloat});
  int64_t value = -kReach;  // from the register, which the caller set kReach ahead
  int input = 0;
  for (size_t i = 0; i < entries.size();) {
    const int32_t offset = entries[i].offset;
    const int x = kSums + input++ % kInputs;
    code.load(x, {Base::Rdi, offset * kFloat});
    for (; i < entries.size() && entries[i].offset == offset; ++i, ++value) {
      if (value == kReach) {
        code.advance(Base::Rsi, static_cast<int32_t>(2 * kReach * kFloat));
        value = -kReach;
      }
      const auto k = static_cast<int>(entries[i].channel - first);
      code.multiply_add(k, x, {Base::Rsi, value * kFloat});
    }
  }
  code.jump_to({Base::R9, offsetof(End, code)});
}

void append_end(Assembler& code, int count, int64_t y_channel, bool residual, bool masked) {
  code.broadcast(kLow, {Base::R9, offsetof(End, low)});
  code.broadcast(kHigh, {Base::R9, offsetof(End, high)});
  if (masked) code.load_mask(kMask, {Base::R9, offsetof(End, mask)});
  for (int k = 0; k < count; ++k) {
    const int64_t at = k * y_channel * kFloat;
    if (residual) code.add(k, {Base::Rcx, at}, masked ? kMask : 0);
    code.raise_to(k, kLow);
    code.lower_to(k, kHigh);
    code.store(k, {Base::R8, at}, masked ? kMask : 0);
  }
  code.finish();
}

/// Brings part `part` of `parts` of `bytes` bytes to L2.
void fetch_part(const void* from, int64_t bytes, int64_t part, int64_t parts) {
  constexpr int64_t kLine = 64;
  const int64_t lines = ceil_div(bytes, kLine);
  for (int64_t i = part * lines / parts; i < (part + 1) * lines / parts; ++i) {
    __builtin_prefetch(static_cast<const char*>(from) + i * kLine, 0, 2);
  }
}

}  // namespace

bool PlanesCode::is_possible() {
  return simd_target() == "avx512";
}

std::unique_ptr<const PlanesCode> PlanesCode::make(std::vector<CodeEntry> entries,
                                                   int64_t channels,
                                                   int64_t y_channel) {
  std::erase_if(entries, [](const CodeEntry& entry) { return entry.value == 0.0f; });
  const auto is_far = [](const CodeEntry& entry) {
    return entry.offset >= std::numeric_limits<int32_t>::max() / kFloat;
  };
  if (entries.size() > kMostEntries || std::ranges::any_of(entries, is_far)) return nullptr;
  const int64_t panels = ceil_div(std::max<int64_t>(1, channels), kSums);
  const int64_t size = ceil_div(channels, panels);
  std::sort(entries.begin(), entries.end(), [&](const CodeEntry& a, const CodeEntry& b) {
    return std::tuple(a.channel / size, a.offset, a.channel) <
           std::tuple(b.channel / size, b.offset, b.channel);
  });
  std::unique_ptr<PlanesCode> made(new PlanesCode);
  made->y_channel_ = y_channel;
  made->values_ = Tensor::empty({static_cast<int64_t>(entries.size())});
  Assembler code;
  auto next = entries.begin();
  for (int64_t first = 0; first < channels; first += size) {
    const int64_t count = std::min(size, channels - first);
    const auto from = next;
    next = std::find_if(
        from, entries.end(), [&](const CodeEntry& e) { return e.channel >= first + count; });
    const auto ends = std::find_if(made->ends_.begin(), made->ends_.end(), [&](const Ends& known) {
      return known.channels == count;
    });
    made->panels_.push_back({.first = first,
                             .ends = static_cast<size_t>(ends - made->ends_.begin()),
                             .values = from - entries.begin(),
                             .entries = next - from,
                             .at = code.size()});
    append_panel(code, {from, next}, first, static_cast<int>(count));
    made->panels_.back().code_bytes = static_cast<int64_t>(code.size() - made->panels_.back().at);
    if (ends != made->ends_.end()) continue;
    Ends& added = made->ends_.emplace_back(Ends{.channels = count, .at = {}});
    for (size_t kind = 0; kind < 4; ++kind) {
      added.at[kind] = code.size();
      append_end(code, static_cast<int>(count), y_channel, (kind & 1) != 0, (kind & 2) != 0);
    }
  }
  for (size_t i = 0; i < entries.size(); ++i) made->values_.data<float>()[i] = entries[i].value;
  made->code_ = MachineCode::make(code.code());
  if (made->code_ == nullptr) return nullptr;
  return made;
}

void PlanesCode::run(const CodeJob& job) const {
  static constexpr float kZeros[kSums] = {};
  End end{.code = nullptr, .low = job.limits.low, .high = job.limits.high, .mask = 0};
  for (int64_t p = job.first_panel; p < job.last_panel; ++p) {
    const Panel& panel = panels_[static_cast<size_t>(p)];
    const Ends& ends = ends_[panel.ends];
    Fn sums = nullptr;
    const void* code = code_->at(panel.at);
    std::memcpy(&sums, &code, sizeof(sums));
    const float* start = job.start == nullptr ? kZeros : job.start + panel.first;
    const int64_t channel = panel.first * y_channel_;
    // Meanwhile the next panel comes nearer: no prefetcher follows code and values from L3.
    const Panel& next =
        panels_[static_cast<size_t>(p + 1 < job.last_panel ? p + 1 : job.first_panel)];
    const int64_t runs = job.last_run - job.first_run;
    for (int64_t run = job.first_run; run < job.last_run; ++run) {
      fetch_part(code_->at(next.at), next.code_bytes, run - job.first_run, runs);
      fetch_part(
          values_.data<float>() + next.values, next.entries * kFloat, run - job.first_run, runs);
      const int64_t at = run * kPlanesVector;
      const int64_t left = job.positions - at;
      const bool whole = left >= kPlanesVector;
      end.mask = whole ? 0 : (1U << left) - 1;
      end.code = code_->at(ends.at[(job.residual != nullptr ? 1 : 0) + (whole ? 0 : 2)]);
      sums(job.x + at,
           values_.data<float>() + panel.values + kReach,
           start,
           job.residual == nullptr ? nullptr : job.residual + channel + at,
           job.y + channel + at,
           &end);
    }
  }
}

}  // namespace espalier::sparse::detail
