// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/compress/huffman.h>

#include <algorithm>
#include <numeric>
#include <queue>

namespace espalier::nn::compress {
namespace {

struct Tree {
  int64_t count;
  size_t order;  // of making: leaves by symbol, then joints; breaks ties
  bool operator>(const Tree& other) const {
    return count != other.count ? count > other.count : order > other.order;
  }
};

}  // namespace

HuffmanCode HuffmanCode::of_counts(std::span<const int64_t> counts) {
  std::priority_queue<Tree, std::vector<Tree>, std::greater<>> open;
  for (size_t s = 0; s < counts.size(); ++s) {
    ESPALIER_CHECK(counts[s] >= 0,
                   ValueError,
                   "HuffmanCode: expects counts >= 0, got ",
                   counts[s],
                   " for symbol ",
                   s);
    if (counts[s] > 0) open.push({counts[s], s});
  }
  std::vector<uint8_t> lengths(counts.size(), 0);
  if (open.size() == 1) lengths[open.top().order] = 1;

  // parents[i]: of leaf i, and after the leaves, of joint i. A joint is made after its children.
  std::vector<size_t> parents(counts.size(), 0);
  while (open.size() > 1) {
    const Tree a = open.top();
    open.pop();
    const Tree b = open.top();
    open.pop();
    const size_t joint = parents.size();
    parents.push_back(0);
    parents[a.order] = joint;
    parents[b.order] = joint;
    open.push({a.count + b.count, joint});
  }
  std::vector<int> depth(parents.size(), 0);
  for (size_t i = parents.size(); i-- > 0;) {
    if (parents[i] != 0) depth[i] = depth[parents[i]] + 1;
  }
  for (size_t s = 0; s < counts.size(); ++s) {
    if (parents[s] != 0) lengths[s] = static_cast<uint8_t>(depth[s]);
  }
  return HuffmanCode(std::move(lengths));
}

HuffmanCode HuffmanCode::of_lengths(std::vector<uint8_t> lengths) {
  uint64_t used = 0;  // of the 2^kLongestCode longest codes
  int64_t symbols = 0;
  for (const uint8_t length : lengths) {
    if (length == 0) continue;
    ESPALIER_CHECK(length <= kLongestCode,
                   IoError,
                   "Huffman code: a length of ",
                   static_cast<int>(length),
                   ", at most ",
                   kLongestCode,
                   " is known");
    used += uint64_t{1} << (kLongestCode - length);
    ++symbols;
    ESPALIER_CHECK(used <= uint64_t{1} << kLongestCode,
                   IoError,
                   "Huffman code: lengths that no prefix code has");
  }
  const bool lone = symbols == 1 && used == uint64_t{1} << (kLongestCode - 1);
  ESPALIER_CHECK(symbols == 0 || lone || used == uint64_t{1} << kLongestCode,
                 IoError,
                 "Huffman code: the code is not complete");
  return HuffmanCode(std::move(lengths));
}

HuffmanCode::HuffmanCode(std::vector<uint8_t> lengths)
    : lengths_(std::move(lengths)),
      codes_(lengths_.size(), 0),
      first_(kLongestCode + 2, 0),
      position_(kLongestCode + 2, 0) {
  for (uint32_t s = 0; s < lengths_.size(); ++s) {
    if (lengths_[s] > 0) symbols_.push_back(s);
  }
  std::stable_sort(symbols_.begin(), symbols_.end(), [&](uint32_t a, uint32_t b) {
    return lengths_[a] < lengths_[b];
  });
  uint64_t code = 0;
  uint32_t at = 0;
  for (size_t length = 1; length <= kLongestCode; ++length) {
    code <<= 1;
    first_[length] = code;
    position_[length] = at;
    for (; at < symbols_.size() && lengths_[symbols_[at]] == length; ++at) {
      codes_[symbols_[at]] = code++;
    }
  }
  position_.back() = at;
}

int64_t HuffmanCode::total_bits(std::span<const int64_t> counts) const {
  ESPALIER_CHECK(counts.size() == lengths_.size(),
                 ValueError,
                 "HuffmanCode: expects ",
                 lengths_.size(),
                 " counts, got ",
                 counts.size());
  return std::inner_product(counts.begin(), counts.end(), lengths_.begin(), int64_t{0});
}

void HuffmanCode::write(uint32_t symbol, BitWriter& out) const {
  ESPALIER_CHECK(symbol < lengths_.size() && lengths_[symbol] > 0,
                 ValueError,
                 "HuffmanCode: symbol ",
                 symbol,
                 " has no code");
  out.put(codes_[symbol], lengths_[symbol]);
}

uint32_t HuffmanCode::read(BitReader& in) const {
  uint64_t code = 0;
  for (size_t length = 1; length <= kLongestCode; ++length) {
    code = (code << 1) | in.bit();
    const uint64_t count = position_[length + 1] - position_[length];
    if (code >= first_[length] && code - first_[length] < count) {
      return symbols_[position_[length] + (code - first_[length])];
    }
  }
  throw IoError("Huffman code: bits that start no code");
}

}  // namespace espalier::nn::compress
