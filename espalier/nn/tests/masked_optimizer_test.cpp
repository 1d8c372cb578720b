// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include <espalier/autograd/kept_gradient.h>
#include <espalier/core/storage.h>
#include <espalier/sparse/kept_values.h>

#include "optimizers.h"

namespace espalier::nn {
namespace {

TEST(MaskedOptimizer, MaskedEntriesAndTheirStateStayZeroUnderDenseGradients) {
  for (const auto& [name, make] : makers()) {
    Linear layer({.in = 7, .out = 5});
    const std::unique_ptr<Optimizer> optimizer = make(layer);
    // State from dense steps must not survive the mask, even if nobody clears it.
    set_gradients(layer, 99);
    optimizer->step();
    layer.weight.set_mask(two_thirds_mask({5, 7}));
    for (uint64_t step = 0; step < 20; ++step) {
      set_gradients(layer, step);
      optimizer->step();
      const std::vector<double> w = values(layer.weight.value.value());
      for (size_t i = 0; i < w.size(); ++i) {
        ASSERT_EQ(w[i] == 0.0, i % 3 == 0) << name << " step " << step << " entry " << i;
      }
      for (const auto& [kind, slot] : optimizer->slots("weight")) {
        const std::vector<double> s = values(slot);
        for (size_t i = 0; i < s.size(); ++i) {
          ASSERT_EQ(s[i] == 0.0, i % 3 == 0) << name << " " << kind << " entry " << i;
        }
      }
    }
  }
}

TEST(MaskedOptimizer, KeptEntriesMoveAsWithoutAMask) {
  for (const auto& [name, make] : makers()) {
    if (!is_elementwise(name)) continue;
    Linear dense({.in = 7, .out = 5});
    const auto copy = dense.clone();
    auto& masked = dynamic_cast<Linear&>(*copy);
    masked.weight.set_mask(two_thirds_mask({5, 7}));
    const auto a = make(dense);
    const auto b = make(masked);
    for (uint64_t step = 0; step < 5; ++step) {
      set_gradients(dense, step);
      set_gradients(masked, step);
      a->step();
      b->step();
    }
    const std::vector<double> x = values(dense.weight.value.value());
    const std::vector<double> y = values(masked.weight.value.value());
    for (size_t i = 0; i < x.size(); ++i) {
      if (i % 3 != 0) {
        EXPECT_EQ(x[i], y[i]) << name << " entry " << i;
      }
    }
  }
}

TEST(MaskedOptimizer, StateTakesSpaceOfWhatExists) {
  Linear layer({.in = 1024, .out = 1024, .bias = false});
  Tensor mask = Tensor::zeros({1024, 1024}, DType::U8);
  for (int64_t i = 0; i < mask.numel(); i += 64) mask.data<uint8_t>()[i] = 1;
  layer.weight.set_mask(mask);
  for (const auto& [name, make] : makers()) {
    const auto optimizer = make(layer);
    layer.weight.value.set_grad(
        kept_gradient(Tensor::ones({layer.weight.nnz()}), layer.weight.support));
    const int64_t before = memory_stats().bytes_in_use;
    optimizer->step();
    const int64_t taken = memory_stats().bytes_in_use - before;
    // Arrays of 16,384 numbers, of 4 bytes, and a quarter for the pool's sizes.
    const auto arrays = static_cast<int64_t>(optimizer->slots("weight").size());
    EXPECT_LE(taken, arrays * 16384 * 4 * 5 / 4) << name;
  }
}

TEST(MaskedOptimizer, KeptGradientsMoveAsDenseOnes) {
  for (const auto& [name, make] : makers()) {
    Linear a({.in = 7, .out = 5});
    a.weight.set_mask(two_thirds_mask({5, 7}));
    const auto copy = a.clone();
    auto& b = dynamic_cast<Linear&>(*copy);
    const auto first = make(a);
    const auto second = make(b);
    for (uint64_t step = 0; step < 4; ++step) {
      set_gradients(a, step);
      set_gradients(b, step);
      b.weight.value.set_grad(kept_gradient(
          sparse::kept_values(b.weight.value.grad().value(), *b.weight.support), b.weight.support));
      first->step();
      second->step();
      EXPECT_NE(kept_values_of(b.weight.value.grad(), b.weight.support.get()), nullptr) << name;
    }
    EXPECT_EQ(snapshot(a.state_dict()), snapshot(b.state_dict())) << name;
    EXPECT_EQ(snapshot(first->state_dict()), snapshot(second->state_dict())) << name;
  }
}

TEST(MaskedOptimizer, NotANumberAtAMaskedEntryDoesNotSpread) {
  for (const auto& [name, make] : makers()) {
    Linear layer({.in = 3, .out = 1, .bias = false});
    layer.weight.set_mask(Tensor::from<uint8_t>({1, 3}, {1, 0, 1}));
    layer.weight.value.set_grad(Variable(Tensor::from<float>({1, 3}, {1, NAN, 1})));
    make(layer)->step();
    EXPECT_EQ(layer.weight.value.value().at({0, 1}), 0.0) << name;
    EXPECT_TRUE(std::isfinite(layer.weight.value.value().at({0, 0}))) << name;
  }
}

TEST(MaskedOptimizer, ARegrownEntryStartsWithFreshState) {
  for (const auto& [name, make] : makers()) {
    Linear layer({.in = 3, .out = 1, .bias = false});
    const auto optimizer = make(layer);
    set_gradients(layer, 1);
    optimizer->step();
    // Out and in again, without a step between: only clear_masked_state can tell.
    layer.weight.set_mask(Tensor::from<uint8_t>({1, 3}, {1, 0, 1}));
    optimizer->clear_masked_state();
    layer.weight.set_mask(Tensor::from<uint8_t>({1, 3}, {1, 1, 1}));
    EXPECT_EQ(layer.weight.value.value().at({0, 1}), 0.0);
    for (const auto& [kind, slot] : optimizer->slots("weight")) {
      EXPECT_EQ(slot.at({0, 1}), 0.0) << name << " " << kind;
      EXPECT_NE(slot.at({0, 0}), 0.0) << name << " " << kind;
    }
  }
}

// The trap of RigL with Adam: fresh moments under an old step count. The bias correction of old
// steps would make the first update (1 - 0.9) / sqrt(1 - 0.999) = 3.16 times lr.
TEST(MaskedOptimizer, ARegrownEntryOfAdamMovesAsAnEntryOfANewAdam) {
  for (const bool decoupled : {false, true}) {
    const AdamOptions options{.lr = 0.01, .decoupled_decay = decoupled};
    Linear old({.in = 3, .out = 1, .bias = false});
    Linear fresh({.in = 3, .out = 1, .bias = false});
    Adam adam(old, options, 0.1);
    Adam new_adam(fresh, options, 0.1);
    const auto gradient = [](float middle) {
      return Variable(Tensor::from<float>({1, 3}, {0.5f, middle, -0.25f}));
    };
    for (int step = 0; step < 50; ++step) {
      old.weight.value.set_grad(gradient(1.0f));
      adam.step();
    }
    old.weight.set_mask(Tensor::from<uint8_t>({1, 3}, {1, 0, 1}));
    adam.clear_masked_state();
    old.weight.value.set_grad(gradient(1.0f));
    adam.step();
    old.weight.set_mask(Tensor::from<uint8_t>({1, 3}, {1, 1, 1}));
    fresh.weight.value.value().fill_(0.0);
    for (const float g : {0.3f, -0.2f, 0.7f, 0.1f}) {
      old.weight.value.set_grad(gradient(g));
      adam.step();
      fresh.weight.value.set_grad(gradient(g));
      new_adam.step();
      EXPECT_EQ(old.weight.value.value().at({0, 1}), fresh.weight.value.value().at({0, 1}));
      if (g == 0.3f) {
        EXPECT_NEAR(old.weight.value.value().at({0, 1}), -0.01, 1e-6);  // one lr
      }
    }
    EXPECT_EQ(adam.slots("weight").at("age").to_vector<float>(), (std::vector<float>{55, 4, 55}));
  }
}

TEST(MaskedOptimizer, AnEntryThatADecompressedLayerBringsBackIsNewToAdam) {
  Linear layer({.in = 2, .out = 1, .bias = false});
  Adam adam(layer, {.lr = 0.01});
  layer.weight.set_mask(Tensor::from<uint8_t>({1, 2}, {1, 0}));
  const Variable gradient(Tensor::from<float>({1, 2}, {1, 1}));
  for (int step = 0; step < 30; ++step) {
    layer.weight.value.set_grad(gradient);
    adam.step();
  }
  layer.weight.set_mask(Tensor());
  layer.weight.value.set_grad(gradient);
  adam.step();
  EXPECT_NEAR(layer.weight.value.value().at({0, 1}), -0.01, 1e-6);
}

}  // namespace
}  // namespace espalier::nn
