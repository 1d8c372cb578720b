// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/structure/elastic.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

#include <espalier/core/error.h>

namespace espalier::prune {
namespace {

using State = std::map<std::string, Tensor>;
using BlocksOfStage = std::map<std::string, int64_t>;

/// `layer2.3.conv1.weight` as `layer2.`, 3, `.conv1.weight`.
struct BlockName {
  std::string stage;
  int64_t block = 0;
  std::string rest;
};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

std::optional<BlockName> in_block(std::string_view name) {
  constexpr std::string_view kStage = "layer";
  if (!name.starts_with(kStage)) return std::nullopt;
  const auto dot = name.find('.');
  if (dot == std::string_view::npos || dot == kStage.size()) return std::nullopt;
  const auto number = name.substr(kStage.size(), dot - kStage.size());
  if (!std::all_of(number.begin(), number.end(), is_digit)) return std::nullopt;
  BlockName out;
  out.stage = name.substr(0, dot + 1);
  const char* begin = name.data() + dot + 1;
  const char* end = name.data() + name.size();
  const auto [rest, error] = std::from_chars(begin, end, out.block);
  if (error != std::errc() || rest == end || *rest != '.' || out.block < 0) return std::nullopt;
  out.rest = std::string(rest, end);
  return out;
}

BlocksOfStage count_blocks(const State& state) {
  BlocksOfStage count;
  for (const auto& [name, tensor] : state) {
    const auto place = in_block(name);
    if (place) count[place->stage] = std::max(count[place->stage], place->block + 1);
  }
  return count;
}

std::string list(const BlocksOfStage& count) {
  std::string out;
  for (const auto& [stage, blocks] : count) {
    out += cat(out.empty() ? "" : ", ", stage.substr(0, stage.size() - 1), " of ", blocks);
  }
  return out.empty() ? "no stages" : out;
}

void check_stages(const BlocksOfStage& source, const BlocksOfStage& target) {
  ESPALIER_CHECK(
      !target.empty(),
      ValueError,
      "elastic: expects a residual network with stages layer1, layer2, ...; this one has "
      "none");
  const bool same = std::equal(
      source.begin(), source.end(), target.begin(), target.end(), [](const auto& a, const auto& b) {
        return a.first == b.first;
      });
  ESPALIER_CHECK(same,
                 ValueError,
                 "elastic: expects the stages of the network, ",
                 list(target),
                 " blocks, but the file has ",
                 list(source));
}

}  // namespace

std::vector<int64_t> elastic_blocks(int64_t source, int64_t target, BlockOrder order) {
  ESPALIER_CHECK(source >= 1 && target >= 1,
                 ValueError,
                 "elastic: expects at least one block on both sides, got ",
                 source,
                 " and ",
                 target);
  ESPALIER_CHECK(source > 1 || target == 1,
                 ValueError,
                 "elastic: a stage of one block has none that could be repeated to make ",
                 target);
  std::vector<int64_t> out = {0};
  for (int64_t b = 0; b + 1 < target; ++b) {
    const bool spread = order == BlockOrder::Interpolate;
    out.push_back(1 + (spread ? b * (source - 1) / (target - 1) : b % (source - 1)));
  }
  return out;
}

State elastic_state(const State& source, nn::Module& target, BlockOrder order) {
  constexpr std::string_view kMask = ".mask";
  const State names = target.state_dict();
  const BlocksOfStage from = count_blocks(source);
  const BlocksOfStage to = count_blocks(names);
  check_stages(from, to);
  State out;
  std::string missing;
  for (const auto& [name, tensor] : names) {
    if (name.ends_with(kMask)) continue;
    std::string old_name = name;
    if (const auto place = in_block(name)) {
      const auto blocks = elastic_blocks(from.at(place->stage), to.at(place->stage), order);
      old_name = cat(place->stage, blocks[static_cast<size_t>(place->block)], place->rest);
    }
    const auto value = source.find(old_name);
    if (value == source.end()) {
      missing += cat(missing.empty() ? "" : ", ", name);
      continue;
    }
    out.emplace(name, value->second);
    const auto mask = source.find(cat(old_name, kMask));
    if (mask != source.end()) out.emplace(cat(name, kMask), mask->second);
  }
  ESPALIER_CHECK(missing.empty(), ValueError, "elastic: the file has nothing for ", missing);
  return out;
}

}  // namespace espalier::prune
