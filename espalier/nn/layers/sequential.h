// SPDX-License-Identifier: Apache-2.0
/// Sequential: modules one after the other.
#pragma once

#include <concepts>
#include <string>
#include <utility>
#include <vector>

#include <espalier/nn/module/module.h>

namespace espalier::nn {

/// Applies its parts in order. Parts are named `0`, `1`, .. unless given a name.
///
///     Sequential net(Conv2d({.in_channels = 3, .out_channels = 8}), ReLU(), Flatten());
///     net.add(Linear({.in = 8 * 30 * 30, .out = 10}));
class Sequential : public Module {
 public:
  Sequential() = default;
  /// Two or more parts, moved in.
  template <std::derived_from<Module>... Parts>
  requires(sizeof...(Parts) > 1) explicit Sequential(Parts... parts) {
    (add(std::move(parts)), ...);
  }

  /// Appends a part, named by its position, and returns it.
  template <std::derived_from<Module> M>
  M& add(M part) {
    return add(std::to_string(size()), std::move(part));
  }
  /// Appends a part with a name. Throws ValueError when the name is taken, empty or has a dot.
  template <std::derived_from<Module> M>
  M& add(std::string name, M part) {
    auto shared = std::make_shared<M>(std::move(part));
    M& result = *shared;
    add_shared(std::move(name), std::move(shared));
    return result;
  }
  /// Appends a part that others may hold too (weights are then shared).
  void add_shared(std::string name, std::shared_ptr<Module> part);
  /// The same, named by its position.
  void add_shared(std::shared_ptr<Module> part) {
    add_shared(std::to_string(size()), std::move(part));
  }

  /// Number of parts.
  int64_t size() const { return static_cast<int64_t>(parts_.size()); }
  /// Throws ValueError out of range.
  Module& operator[](int64_t i);

  void visit(MemberVisitor& visitor) override;
  std::string describe() const override;

 protected:
  Variable forward(const Variable& x) override;
  std::unique_ptr<Module> shallow_copy() const override {
    return std::make_unique<Sequential>(*this);
  }

 private:
  std::vector<std::pair<std::string, std::shared_ptr<Module>>> parts_;
};

}  // namespace espalier::nn
