// SPDX-License-Identifier: Apache-2.0
/// Tensors by name, several sets in one: those of a set have a prefix. Not a public interface.
#pragma once

#include <map>
#include <string>

#include <espalier/core/tensor.h>

namespace espalier::nn::detail {

/// Adds `tensors` to `all`, with `prefix` before their names.
inline void add_tensors(std::map<std::string, Tensor>& all,
                        const std::string& prefix,
                        const std::map<std::string, Tensor>& tensors) {
  for (const auto& [name, tensor] : tensors) all.emplace(prefix + name, tensor);
}

/// Those whose names begin with `prefix`, without it.
inline std::map<std::string, Tensor> tensors_under(const std::map<std::string, Tensor>& all,
                                                   const std::string& prefix) {
  std::map<std::string, Tensor> out;
  for (const auto& [name, tensor] : all) {
    if (name.starts_with(prefix)) out.emplace(name.substr(prefix.size()), tensor);
  }
  return out;
}

/// Copies with memory of their own.
inline std::map<std::string, Tensor> copies_of(const std::map<std::string, Tensor>& tensors) {
  std::map<std::string, Tensor> out;
  for (const auto& [name, tensor] : tensors) out.emplace(name, tensor.clone());
  return out;
}

}  // namespace espalier::nn::detail
