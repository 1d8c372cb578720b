// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/introspect/summary.h>

#include <algorithm>
#include <array>

#include <espalier/nn/introspect/counting.h>

namespace espalier::nn {

namespace {

// 1234567 as `1,234,567`.
std::string with_commas(int64_t n) {
  std::string digits = std::to_string(n);
  for (auto at = static_cast<int64_t>(digits.size()) - 3; at > (n < 0 ? 1 : 0); at -= 3) {
    digits.insert(static_cast<size_t>(at), ",");
  }
  return digits;
}

constexpr size_t kColumns = 6;
constexpr size_t kFirstNumber = 3;  // columns from here on are flush right
using Row = std::array<std::string, kColumns>;

Row row_of(const std::string& name, const LayerCount& count) {
  return {name,
          count.kind,
          count.output.empty() ? "-" : count.output.str(),
          with_commas(count.params),
          with_commas(count.params_nonzero),
          with_commas(count.macs_dense)};
}

}  // namespace

std::string summary(Module& model, const Shape& input_shape) {
  const ModelCount count = count_model(model, input_shape);
  std::vector<Row> rows = {{"name", "kind", "output", "parameters", "kept", "MACs"}};
  for (const LayerCount& layer : count.layers) rows.push_back(row_of(layer.name, layer));
  rows.push_back(row_of("total", count.total));

  std::array<size_t, kColumns> widths{};
  for (const Row& row : rows) {
    for (size_t c = 0; c < kColumns; ++c) widths[c] = std::max(widths[c], row[c].size());
  }
  std::string text;
  for (const Row& row : rows) {
    std::string line;
    for (size_t c = 0; c < kColumns; ++c) {
      const std::string space(widths[c] - row[c].size(), ' ');
      line += (c == 0 ? "" : "  ") + (c >= kFirstNumber ? space + row[c] : row[c] + space);
    }
    text += line + "\n";
  }
  return text;
}

}  // namespace espalier::nn
