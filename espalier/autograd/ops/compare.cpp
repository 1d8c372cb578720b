// SPDX-License-Identifier: Apache-2.0
// Comparisons: 1 where a > b, a >= b, .. holds, else 0; constants for `where`, without a
// derivative.
#include <espalier/autograd/op_list.h>
#include <espalier/autograd/ops.h>
#include <espalier/autograd/ops/detail.h>
#include <espalier/core/loops.h>

namespace espalier {
namespace {

template <class Holds>
Tensor compare(const char* name, const Variable& a, const Variable& b, Holds holds) {
  detail::check_same_dtype(a, b, name);
  const Broadcast to = broadcast(a.value(), b.value(), name);
  Tensor out = Tensor::empty(to.shape, DType::U8, to.layout);
  dispatch_floating(a.dtype(), name, [&](auto zero) {
    using T = decltype(zero);
    map_into<uint8_t, T, T>(
        out, a.value(), b.value(), [holds](T x, T y) { return static_cast<uint8_t>(holds(x, y)); });
  });
  return out;
}

}  // namespace

#define ESPALIER_COMPARISON(name, symbol)                                   \
  Tensor name(const Variable& a, const Variable& b) {                       \
    return compare(#name, a, b, [](auto x, auto y) { return x symbol y; }); \
  }                                                                         \
  Tensor name(const Variable& a, double constant) {                         \
    return name(a, Variable(Tensor::scalar(constant, a.dtype())));          \
  }
ESPALIER_COMPARISON(greater, >)
ESPALIER_COMPARISON(greater_equal, >=)
ESPALIER_COMPARISON(less, <)
ESPALIER_COMPARISON(less_equal, <=)
ESPALIER_COMPARISON(equal, ==)
ESPALIER_COMPARISON(not_equal, !=)
#undef ESPALIER_COMPARISON

// Each comparison chooses between a^2 and b: away from a = b that has a slope.
OpInfo compare_op() {
  using Comparison = Tensor (*)(const Variable&, const Variable&);
  using WithConstant = Tensor (*)(const Variable&, double);
  const auto by = [](Comparison holds) {
    return [holds](const std::vector<Variable>& in) {
      return where(holds(in[0], in[1]), mul(in[0], in[0]), in[1]);
    };
  };
  const auto than = [](WithConstant holds, double constant) {
    return [holds, constant](const std::vector<Variable>& in) {
      return where(holds(in[0], constant), mul(in[0], in[0]), in[0]);
    };
  };
  const std::vector<Tensor> channels = {sample_tensor({17, 3, 2}, 1), sample_tensor({3, 1}, 2)};
  const std::vector<Tensor> rows = {sample_tensor({2, 3}, 3)};
  return {.name = "compare",
          .rule = OpRule::Composed,
          .samples = {{"greater", channels, by(&greater), {0}},
                      {"greater or equal", channels, by(&greater_equal), {0}},
                      {"less", channels, by(&less), {0}},
                      {"less or equal", channels, by(&less_equal), {0}},
                      {"equal", channels, by(&equal), {0}},
                      {"not equal", channels, by(&not_equal), {0}},
                      {"greater than a constant", rows, than(&greater, 0.125), {0}},
                      {"not less than a constant", rows, than(&greater_equal, 0.125), {0}},
                      {"less than a constant", rows, than(&less, 0.125), {0}},
                      {"not greater than a constant", rows, than(&less_equal, 0.125), {0}},
                      {"equal to a constant", rows, than(&equal, 0.125), {0}},
                      {"not equal to a constant", rows, than(&not_equal, 0.125), {0}},
                      {"empty", {sample_tensor({0, 3}, 1), sample_tensor({3}, 2)}, by(&less)}}};
}

}  // namespace espalier
