// SPDX-License-Identifier: Apache-2.0
/// The network and the data of the second-order scripts (oracles/{obd,obs,woodfisher}.py): linear
/// 6>4 without bias, ReLU, linear 4>3, and some samples.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <espalier/prune/tests/calibration.h>

namespace espalier::prune::testing {

/// What a script has written.
using Written = std::map<std::string, std::vector<double>>;

/// With the script's values, float64.
inline std::unique_ptr<nn::Sequential> net_of_script(const Written& written) {
  auto net = std::make_unique<nn::Sequential>();
  net->add(nn::Linear({.in = 6, .out = 4, .bias = false}));
  net->add(nn::ReLU());
  net->add(nn::Linear({.in = 4, .out = 3}));
  net->to(DType::F64);
  for (const auto& [name, tensor] : net->state_dict()) {
    Tensor(tensor).copy_(Tensor::from(tensor.shape(), written.at(name)));
  }
  return net;
}

/// All samples as the one batch; `written` must outlive what is returned.
inline PruneInputs inputs_of_script(const Written& written, bool single_batch = true) {
  return {.batch =
              [&written](int64_t) {
                const std::vector<double>& labels = written.at("labels");
                const auto count = static_cast<int64_t>(labels.size());
                return data::Batch{Tensor::from({count, 6}, written.at("images")),
                                   Tensor::from({count}, labels).to(DType::I64)};
              },
          .single_batch = single_batch};
}

}  // namespace espalier::prune::testing
