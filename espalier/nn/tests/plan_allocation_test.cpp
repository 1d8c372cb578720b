// SPDX-License-Identifier: Apache-2.0
// A running plan asks for no memory at all, not only for no tensor: operator new is counted for the
// whole test program.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include <espalier/nn/models/registry.h>
#include <espalier/nn/plan/plan.h>
#include <espalier/nn/tests/block_gates.h>
#include <espalier/nn/tests/plan_support.h>

namespace {

std::atomic<int64_t> allocations{0};

void* counted(size_t size, size_t alignment) {
  ++allocations;
  void* block = std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  if (block == nullptr) throw std::bad_alloc();
  return block;
}

}  // namespace

void* operator new(size_t size) {
  return counted(size == 0 ? 1 : size, alignof(std::max_align_t));
}
void* operator new(size_t size, std::align_val_t alignment) {
  return counted(size == 0 ? 1 : size, static_cast<size_t>(alignment));
}
void* operator new(size_t size, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(size == 0 ? 1 : size);
}
void operator delete(void* block) noexcept {
  std::free(block);
}
void operator delete(void* block, size_t) noexcept {
  std::free(block);
}
void operator delete(void* block, std::align_val_t) noexcept {
  std::free(block);
}
void operator delete(void* block, size_t, std::align_val_t) noexcept {
  std::free(block);
}

namespace espalier::nn {
namespace {

TEST(PlanAllocation, ARunningPlanNeverCallsNew) {
  for (const PlanFormat format : {PlanFormat::Dense, PlanFormat::Sparse}) {
    const auto model = make_model("resnet20", {.width = 2.0});
    mask_randomly(*model, 0.8);
    const InferencePlan plan =
        compile(*model, Variable(Tensor::zeros({32, 3, 32, 32})), {.format = format});
    const Tensor x = random_tensor({32, 3, 32, 32}, 5).to(Layout::Nchw16n);
    Tensor y = Tensor::empty({32, 10}, DType::F32, Layout::Nchw16n);
    plan.run(x, y);  // starts the threads
    const int64_t before = allocations;
    EXPECT_GT(before, 0);  // it does count
    for (int i = 0; i < 3; ++i) plan.run(x, y);
    EXPECT_EQ(allocations - before, 0);
    // And one sample, which takes another way.
    const Tensor one = random_tensor({1, 3, 32, 32}, 6);
    Tensor logits = Tensor::empty({1, 10});
    plan.run(one, logits);
    const int64_t before_one = allocations;
    for (int i = 0; i < 3; ++i) plan.run(one, logits);
    EXPECT_EQ(allocations - before_one, 0);
  }
}

TEST(PlanAllocation, NorDoesOneWhoseGatesDecide) {
  for (const std::string kind : {"channels", "positions", "blocks"}) {
    const bool blocks = kind == "blocks";
    const SavedModel net =
        blocks ? with_heads("resnet20", "gumbel-head", Opens::Some) : network("resnet20");
    if (!blocks) add_gates(*net.module, kind);
    const InferencePlan plan = compile(*net.module, images(20));
    for (const int64_t samples : {1, 20}) {
      const Tensor x = random_tensor({samples, 3, 32, 32}, 5);
      Tensor y = Tensor::empty({samples, 10});
      plan.run(x, y);  // starts the threads
      const int64_t before = allocations;
      for (int i = 0; i < 3; ++i) plan.run(x, y);
      EXPECT_EQ(allocations - before, 0) << kind << ", " << samples;
    }
  }
}

}  // namespace
}  // namespace espalier::nn
