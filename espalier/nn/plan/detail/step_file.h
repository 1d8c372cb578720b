// SPDX-License-Identifier: Apache-2.0
/// The steps of a plan as JSON and tensors, for plan/file.cpp (README.md has the format). Reading
/// throws ValueError, or an exception of the JSON library, for what is no step; whether steps fit
/// each other is check_graph's to say. Not a public interface.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <espalier/core/detail/json.h>
#include <espalier/nn/plan/steps/graph.h>

namespace espalier::nn::plan {

/// The tensors of a file; each is to be taken once.
class TensorBox {
 public:
  explicit TensorBox(std::map<std::string, Tensor> tensors);
  /// Throws ValueError when all weights of the plan together are absurdly large for its file.
  void count_weight(const Shape& shape);
  bool has(const std::string& name) const { return tensors_.count(name) > 0; }
  /// Throws ValueError for one that is missing or of another type.
  Tensor take(const std::string& name, DType dtype);
  /// Throws ValueError naming a tensor that is left.
  void check_empty() const;

 private:
  std::map<std::string, Tensor> tensors_;
  int64_t weights_left_ = 0;
};

// No network comes near; a hostile file must not make sums overflow.
inline constexpr int64_t kMaxSize = int64_t{1} << 31;

/// `step3.weight`.
std::string tensor_key(size_t step, std::string_view what);
nlohmann::json write_shape(const Shape& shape);
Shape read_shape(const nlohmann::json& list);
/// A whole number in [least, most].
int64_t read_whole(const nlohmann::json& value, int64_t least, int64_t most);
/// A list of `count` of these.
std::vector<int64_t> read_wholes(const nlohmann::json& list,
                                 size_t count,
                                 int64_t least,
                                 int64_t most);
/// The number of a value.
int read_id(const nlohmann::json& value);

/// The tensor in which `write_step` puts the weight of a product, plain or not: all of it, or its
/// nonzeros.
std::string weight_name(const std::map<std::string, Tensor>& tensors, size_t number);

/// The weight of step `number`'s product, with its nonzeros alone where these are few.
void write_weight(const Tensor& weight, size_t number, std::map<std::string, Tensor>& tensors);
Tensor read_weight(const Shape& shape, size_t number, TensorBox& tensors);

/// The call of a plain step (plain_file.cpp).
void write_plain(const PlainCall& call,
                 size_t number,
                 nlohmann::json& out,
                 std::map<std::string, Tensor>& tensors);
PlainCall read_plain(const nlohmann::json& in, size_t number, TensorBox& tensors);

/// Step `number` of a plan; what is not small goes to `tensors`.
nlohmann::json write_step(const Step& step, size_t number, std::map<std::string, Tensor>& tensors);
Step read_step(const nlohmann::json& in, size_t number, TensorBox& tensors);

}  // namespace espalier::nn::plan
