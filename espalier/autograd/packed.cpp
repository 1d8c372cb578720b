// SPDX-License-Identifier: Apache-2.0
#include <espalier/autograd/packed.h>

#include <utility>

#include <espalier/autograd/variable_state.h>
#include <espalier/core/kernels/bfloat16.h>

namespace espalier {
namespace {

// Less is not worth a second tensor.
constexpr int64_t kLeast = 1024;

thread_local SavedAs current = SavedAs::AsTheyAre;

}  // namespace

SavedAs saved_as() {
  return current;
}
SavedAsScope::SavedAsScope(SavedAs how) : previous_(std::exchange(current, how)) {}
SavedAsScope::~SavedAsScope() {
  current = previous_;
}

PackedTensor::PackedTensor(const Tensor& x)
    : shape_(x.shape()),
      layout_(x.layout()),
      bits_(Tensor::empty({2 * x.physical_numel()}, DType::U8)) {
  to_bfloat16(x.data<float>(), x.physical_numel(), static_cast<uint16_t*>(bits_.raw()));
}

const Tensor& PackedTensor::tensor() const {
  if (!made_.defined()) {
    Tensor out = Tensor::empty(shape_, DType::F32, layout_);
    const Tensor& bits = bits_;
    from_bfloat16(
        static_cast<const uint16_t*>(bits.raw()), out.physical_numel(), out.data<float>());
    made_ = out;
  }
  return made_;
}

std::shared_ptr<const PackedTensor> packed(const Variable& variable) {
  if (current != SavedAs::BFloat16 || variable.is_leaf()) return nullptr;
  VariableState& state = *variable.state();
  if (state.packed && !(state.value.defined() && state.packed_from.changed())) return state.packed;
  if (state.kept.support || !state.value.defined() || state.value.dtype() != DType::F32 ||
      state.value.numel() < kLeast || !state.value.is_contiguous()) {
    return nullptr;
  }
  state.packed = std::make_shared<const PackedTensor>(state.value);
  state.packed_from = WatchedTensor(state.value);
  return state.packed;
}

Variable packed_twin(const Variable& variable) {
  std::shared_ptr<const PackedTensor> value = packed(variable);
  if (!value) return {};
  const auto twin = std::make_shared<VariableState>();
  twin->packed = std::move(value);
  twin->producer = variable.state()->producer;
  return Variable(twin);
}

}  // namespace espalier
