// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/structure/op_rules.h>

#include <map>

namespace espalier::prune {

OpRule op_rule(std::string_view name) {
  using enum OpRule;
  static const std::map<std::string_view, OpRule> rules = {
      {"abs", ZeroToZero},
      {"gelu", ZeroToZero},
      {"gelu_tanh", ZeroToZero},
      {"neg", ZeroToZero},
      {"relu", ZeroToZero},
      {"round_ste", ZeroToZero},
      {"sign", ZeroToZero},
      {"sqrt", ZeroToZero},
      {"tanh", ZeroToZero},
      {"dropout", ZeroToZero},
      {"exp", Elementwise},
      {"log", Elementwise},
      {"pow", Elementwise},
      {"sigmoid", Elementwise},
      {"sign_ste", Elementwise},
      {"softplus", Elementwise},
      {"step_ste", Elementwise},
      {"clamp", Clamp},
      {"add", Sum},
      {"sub", Sum},
      {"maximum", Sum},
      {"minimum", Sum},
      {"mul", Product},
      {"div", Quotient},
      {"concat", Movement},
      {"flatten", Movement},
      {"gather", Movement},
      {"index_select", Movement},
      {"pad", Movement},
      {"permute", Movement},
      {"reshape", Movement},
      {"slice", Movement},
      {"split", Movement},
      {"to_dtype", Movement},
      {"to_layout", Movement},
      {"transpose", Movement},
      {"expand", Expand},
      {"adaptive_avg_pool2d", Pool},
      {"avg_pool2d", Pool},
      {"max_pool2d", Pool},
      {"mean", Reduction},
      {"sum", Reduction},
  };
  const auto found = rules.find(name);
  return found == rules.end() ? Unknown : found->second;
}

}  // namespace espalier::prune
