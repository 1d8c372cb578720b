// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>
#include <optional>

#include <espalier/core/error.h>
#include <espalier/prune/patterns/block.h>
#include <espalier/prune/patterns/kernel_pattern.h>
#include <espalier/prune/patterns/n_m.h>

namespace espalier::prune {
namespace {

/// Channels of the network with all that is tied to them; its units come from the channel graph.
class ChannelPattern : public BlockPattern {
 public:
  ChannelPattern() : BlockPattern("channel", Speedup::Structured, {1, 0, 0, 0}) {}
  bool coupled() const override { return true; }
};

/// Reads a positive number off the front of `text`.
std::optional<int64_t> take_number(std::string_view& text) {
  int64_t value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec != std::errc{} || value < 1 || value > 1'000'000) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(result.ptr - text.data()));
  return value;
}

bool take(std::string_view& text, char c) {
  if (!text.starts_with(c)) return false;
  text.remove_prefix(1);
  return true;
}

/// `BxC`, `N:M`, `N:MgG` and `n:M`; null for anything else.
std::shared_ptr<const Pattern> parse_numbers(const std::string& name) {
  std::string_view rest = name;
  if (rest.starts_with("n:")) {
    rest.remove_prefix(2);
    const auto size = take_number(rest);
    return size && rest.empty() ? std::make_shared<OpenNMPattern>(*size) : nullptr;
  }
  const auto first = take_number(rest);
  if (!first) return nullptr;
  if (take(rest, 'x')) {
    const auto columns = take_number(rest);
    if (!columns || !rest.empty()) return nullptr;
    return std::make_shared<BlockPattern>(
        name, Speedup::SemiStructured, Box{*first, *columns, 1, 1});
  }
  if (!take(rest, ':')) return nullptr;
  const auto size = take_number(rest);
  std::optional<int64_t> group = 1;
  if (take(rest, 'g')) group = take_number(rest);
  if (!size || !group || !rest.empty()) return nullptr;
  return std::make_shared<NMPattern>(*first, *size, *group);
}

}  // namespace

const std::vector<std::string>& pattern_names() {
  static const std::vector<std::string> names = {"unstructured",
                                                 "4x1",
                                                 "8x1",
                                                 "kernel",
                                                 "stripe",
                                                 "filter",
                                                 "layer",
                                                 "2:4",
                                                 "2:4g4",
                                                 "channel"};
  return names;
}

std::shared_ptr<const Pattern> make_pattern(const std::string& name) {
  const auto box = [&](Speedup speedup, const Box& size) {
    return std::make_shared<BlockPattern>(name, speedup, size);
  };
  if (name == "unstructured") return box(Speedup::Unstructured, {1, 1, 1, 1});
  if (name == "kernel") return box(Speedup::SemiStructured, {1, 1, 0, 0});
  if (name == "stripe") return box(Speedup::SemiStructured, {1, 0, 1, 1});
  if (name == "filter") return box(Speedup::Structured, {1, 0, 0, 0});
  if (name == "layer") return box(Speedup::Structured, {0, 0, 0, 0});
  if (name == "channel") return std::make_shared<ChannelPattern>();
  if (name == "kernel-pattern") return std::make_shared<KernelPattern>();
  if (auto pattern = parse_numbers(name)) return pattern;
  std::string known;
  for (const std::string& one : pattern_names()) known += (known.empty() ? "" : ", ") + one;
  throw ValueError(cat("pattern: unknown name '",
                       name,
                       "'. Known: ",
                       known,
                       ", and every BxC, N:M (N kept of M), N:MgG, and n:M."));
}

}  // namespace espalier::prune
