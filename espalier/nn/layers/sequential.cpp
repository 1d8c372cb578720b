// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <espalier/nn/layers/sequential.h>

namespace espalier::nn {

void Sequential::add_shared(std::string name, std::shared_ptr<Module> part) {
  ESPALIER_CHECK(part != nullptr, ValueError, "Sequential::add: expects a module, got null");
  ESPALIER_CHECK(!name.empty() && name.find('.') == std::string::npos,
                 ValueError,
                 "Sequential::add: a name must not be empty and must not hold a dot, got '",
                 name,
                 "'");
  ESPALIER_CHECK(
      std::ranges::none_of(parts_, [&](const auto& other) { return other.first == name; }),
      ValueError,
      "Sequential::add: the name '",
      name,
      "' is taken");
  parts_.emplace_back(std::move(name), std::move(part));
}

Module& Sequential::operator[](int64_t i) {
  ESPALIER_CHECK(
      i >= 0 && i < size(), ValueError, "Sequential: has ", size(), " parts, asked for part ", i);
  return *parts_[static_cast<size_t>(i)].second;
}

Variable Sequential::forward(const Variable& x) {
  Variable y = x;
  for (const auto& [name, part] : parts_) y = (*part)(y);
  return y;
}

void Sequential::visit(MemberVisitor& visitor) {
  for (auto& [name, part] : parts_) visitor.part(name, part);
}

std::string Sequential::describe() const {
  return cat("Sequential(", size(), " parts)");
}

}  // namespace espalier::nn
