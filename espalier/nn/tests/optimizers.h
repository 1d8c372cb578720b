// SPDX-License-Identifier: Apache-2.0
/// What the tests of optimizers share.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <espalier/nn/train/adagrad.h>
#include <espalier/nn/train/adam.h>
#include <espalier/nn/train/lookahead.h>
#include <espalier/nn/train/muon.h>
#include <espalier/nn/train/rmsprop.h>
#include <espalier/nn/train/sgd.h>

#include "support.h"

namespace espalier::nn {

// All optimizers with state, by name.
inline std::vector<std::pair<std::string, std::function<std::unique_ptr<Optimizer>(Module&)>>>
makers() {
  return {
      {"sgd",
       [](Module& m) {
         return std::make_unique<Sgd>(m, SgdOptions{.lr = 0.1, .momentum = 0.9}, 0.01);
       }},
      {"nesterov",
       [](Module& m) {
         return std::make_unique<Sgd>(
             m, SgdOptions{.lr = 0.1, .momentum = 0.9, .nesterov = true}, 0.01);
       }},
      {"adam", [](Module& m) { return std::make_unique<Adam>(m, AdamOptions{.lr = 0.1}, 0.01); }},
      {"amsgrad",
       [](Module& m) {
         return std::make_unique<Adam>(m, AdamOptions{.lr = 0.1, .amsgrad = true}, 0.01);
       }},
      {"adamw", [](Module& m) { return std::make_unique<AdamW>(m, AdamOptions{.lr = 0.1}, 0.01); }},
      {"rmsprop",
       [](Module& m) {
         return std::make_unique<RmsProp>(
             m, RmsPropOptions{.lr = 0.01, .momentum = 0.9, .centered = true}, 0.01);
       }},
      {"adagrad",
       [](Module& m) { return std::make_unique<Adagrad>(m, AdagradOptions{.lr = 0.1}, 0.01); }},
      {"lookahead",
       [](Module& m) {
         return std::make_unique<Lookahead>(std::make_unique<Adam>(m, AdamOptions{.lr = 0.1}, 0.01),
                                            LookaheadOptions{.every = 2});
       }},
      {"muon", [](Module& m) { return std::make_unique<Muon>(m, MuonOptions{.lr = 0.1}, 0.01); }},
      {"lookahead of muon",
       [](Module& m) {
         return std::make_unique<Lookahead>(
             std::make_unique<Muon>(
                 m, MuonOptions{.lr = 0.1, .normalize_weights = true, .rest = SgdOptions{}}),
             LookaheadOptions{.every = 3});
       }},
  };
}

// Of those whose rule looks at each entry by itself: what a mask takes out changes no other.
inline bool is_elementwise(const std::string& optimizer) {
  return optimizer.find("muon") == std::string::npos;
}

inline void set_gradients(Module& module, uint64_t seed) {
  for (const NamedParameter& p : module.named_parameters()) {
    p.parameter->value.set_grad(
        Variable(random_tensor(p.parameter->shape(), seed ^ stream_id(p.name))));
  }
}

}  // namespace espalier::nn
