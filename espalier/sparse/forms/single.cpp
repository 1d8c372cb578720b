// SPDX-License-Identifier: Apache-2.0
// Weights one by one, wherever they are.
#include <espalier/sparse/forms/form.h>
#include <espalier/sparse/forms/sample.h>
#include <espalier/sparse/kernels/conv2d_micro.h>

namespace espalier::sparse::detail {
namespace {

class SingleForward : public PreparedForward {
 public:
  /// `transposed`: dimension 0 of the weight is the input of the convolution.
  SingleForward(ConvPlan plan, const Support& support, const Tensor& weight, bool transposed)
      : PreparedForward(std::move(plan)),
        stream_(entry_stream(this->plan(), support, transposed)),
        values_(gather_values(values_of(weight, support), stream_->ranks)) {}

  int64_t nbytes() const override {
    const size_t indices = stream_->offsets.size() + stream_->bounds.size();
    return values_.nbytes() + static_cast<int64_t>(indices * sizeof(int32_t));
  }
  const KernelForm& form() const override { return single_form(); }

 private:
  void run_call(const TileJob& tile, const ConvPlan::Call& call) const override {
    kernels_.forward({tile,
                      {stream_->offsets.data(),
                       values_.data<float>(),
                       stream_->bounds_of(0, call.index),
                       plan().conv.out_channels}});
  }

  std::shared_ptr<const EntryStream> stream_;
  Tensor values_;
  SparseConvKernels kernels_ = sparse_conv_kernels();
};

bool applies(const Support&) {
  return true;
}

std::string facts(const Support&) {
  return "single weights";
}

std::unique_ptr<const PreparedForward> prepare(const TapConvolution& conv,
                                               int64_t blocks,
                                               const Support& support,
                                               const Tensor& weight) {
  return std::make_unique<SingleForward>(
      ConvPlan(conv, blocks, support.density()), support, weight, false);
}

/// dx alone: forward with the weights transposed, a class of positions at a time.
void backward_data(const Conv2dShape& shape, const Support& support, const BackwardOperands& of) {
  const espalier::detail::BackwardDataTaps taps = espalier::detail::backward_data_taps(shape);
  if (!taps.all_reached) of.dx->fill_(0.0);
  const Tensor w = values_of(*of.weight, support);
  for (const TapConvolution& conv : taps.classes) {
    const SingleForward transposed(
        ConvPlan(conv, lane_blocks(shape.n), support.density()), support, w, true);
    transposed.run({of.dy.data<float>(), nullptr, of.dx->data<float>()});
  }
}

void backward(const Conv2dShape& shape, const Support& support, const BackwardOperands& of) {
  (of.dweight == nullptr ? backward_data : backward_by_entries)(shape, support, of);
}

constexpr PlanesLayout kPlanes{1, true, sparse_planes_kernel, Coding::WhereItPays};

Tensor sample(const Shape& weight, double density, uint64_t seed) {
  return random_mask(weight, density, 1, seed);
}

}  // namespace

const KernelForm& single_form() {
  static const KernelForm form = {.name = "sparse",
                                  .weights = "single weights, wherever they are",
                                  .applies = applies,
                                  .facts = facts,
                                  .prepare = prepare,
                                  .backward = backward,
                                  .planes = &kPlanes,
                                  .sample = sample};
  return form;
}

}  // namespace espalier::sparse::detail
