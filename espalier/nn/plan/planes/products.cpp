// SPDX-License-Identifier: Apache-2.0
// Convolutions and linear layers on one sample, by the planes kernels of core and sparse; bias,
// residual and limits are applied in registers.
#include <espalier/core/kernels/conv2d/depthwise.h>
#include <espalier/core/kernels/conv2d/planes_few.h>
#include <espalier/core/kernels/conv2d/winograd_planes.h>
#include <espalier/nn/plan/planes/product.h>
#include <espalier/sparse/forms/form.h>

namespace espalier::nn::plan {
namespace {

using espalier::detail::DensePlanes;
using espalier::detail::DepthwiseTasks;
using espalier::detail::FewPlanes;
using espalier::detail::PlanesOperands;
using espalier::detail::WeightsAs;
using espalier::detail::WinogradPlanes;
using sparse::detail::KernelForm;
using sparse::detail::SparsePlanes;

class DenseProduct : public PlanesProduct {
 public:
  DenseProduct(const Graph& graph, const Step& step)
      : PlanesProduct(graph, step), weight_(step.weight), planes_(shape_) {}

  int64_t run(const PlanesRun& run) const override {
    const PlanesOperands o = operands(run, weight_.data<float>());
    for_planes_tasks(run, planes_.fill_tasks(), input_floats(), [&](int64_t task) {
      planes_.fill(task, o.x, {}, run.scratch);
    });
    for_planes_tasks(run, planes_.tasks(), shape_.macs(), [&](int64_t task) {
      planes_.run(task, o, {}, run.scratch);
    });
    return macs();
  }
  int64_t macs() const override { return shape_.macs(); }
  int64_t scratch_floats() const override { return planes_.scratch_size(); }
  int64_t nbytes() const override { return weight_.nbytes(); }
  std::string_view format() const override { return "dense"; }

 private:
  Tensor weight_;
  DensePlanes planes_;
};

class DepthwiseProduct : public PlanesProduct {
 public:
  DepthwiseProduct(const Graph& graph, const Step& step)
      : PlanesProduct(graph, step), weight_(step.weight.contiguous()), tasks_(shape_, false) {}

  int64_t run(const PlanesRun& run) const override {
    const PlanesOperands o = operands(run, weight_.data<float>());
    for_planes_tasks(run, tasks_.tasks(), macs(), [&](int64_t task) { tasks_.run(task, o); });
    return macs();
  }
  int64_t macs() const override { return shape_.macs(); }
  int64_t nbytes() const override { return weight_.nbytes(); }
  std::string_view format() const override { return "dense"; }

 private:
  Tensor weight_;
  DepthwiseTasks tasks_;
};

WeightsAs held_as(const Graph& graph) {
  return graph.weights == PlanWeights::BFloat16 ? WeightsAs::BFloat16 : WeightsAs::Float32;
}

class FewProduct : public PlanesProduct {
 public:
  FewProduct(const Graph& graph, const Step& step)
      : PlanesProduct(graph, step), planes_(shape_, step.weight.data<float>(), held_as(graph)) {}

  int64_t run(const PlanesRun& run) const override {
    const PlanesOperands o = operands(run, nullptr);
    planes_.fill(o.x, run.scratch);
    for_planes_tasks(run, planes_.tasks(), shape_.macs(), [&](int64_t task) {
      planes_.run(task, o, run.scratch);
    });
    return macs();
  }
  int64_t macs() const override { return shape_.macs(); }
  int64_t scratch_floats() const override { return planes_.scratch_size(); }
  int64_t nbytes() const override { return planes_.nbytes(); }
  std::string_view format() const override { return "dense"; }

 private:
  FewPlanes planes_;
};

/// Arranges the input in the scratch, then multiplies: what kernels do alike that need no lists of
/// channels.
template <class Planes>
void fill_and_run(const PlanesRun& run,
                  const Planes& planes,
                  const PlanesOperands& operands,
                  int64_t input_floats,
                  int64_t macs) {
  for_planes_tasks(run, planes.fill_tasks(), input_floats, [&](int64_t task) {
    planes.fill(task, operands.x, run.scratch);
  });
  for_planes_tasks(
      run, planes.tasks(), macs, [&](int64_t task) { planes.run(task, operands, run.scratch); });
}

class WinogradProduct : public PlanesProduct {
 public:
  WinogradProduct(const Graph& graph, const Step& step, int tile)
      : PlanesProduct(graph, step), planes_(shape_, {tile}, step.weight.data<float>()) {}

  int64_t run(const PlanesRun& run) const override {
    fill_and_run(run, planes_, operands(run, nullptr), input_floats(), macs());
    return macs();
  }
  int64_t macs() const override { return shape_.macs(); }
  int64_t scratch_floats() const override { return planes_.scratch_size(); }
  int64_t nbytes() const override { return planes_.nbytes(); }
  std::string_view format() const override { return "winograd"; }

 private:
  WinogradPlanes planes_;
};

class SparseProduct : public PlanesProduct {
 public:
  SparseProduct(const Graph& graph, const Step& step)
      : SparseProduct(graph, step, sparse::nonzero_support(step.weight)) {}

  int64_t run(const PlanesRun& run) const override {
    fill_and_run(run, planes_, operands(run, nullptr), input_floats(), macs());
    return macs();
  }
  int64_t macs() const override { return planes_.macs(); }
  int64_t scratch_floats() const override { return planes_.scratch_size(); }
  int64_t nbytes() const override { return planes_.nbytes(); }
  std::string_view format() const override { return planes_.is_code() ? "code" : form_.name; }

 private:
  SparseProduct(const Graph& graph, const Step& step, const sparse::Support& support)
      : PlanesProduct(graph, step),
        form_(sparse::detail::planes_form_for(support)),
        planes_(shape_, support, step.weight, *form_.planes) {}

  const KernelForm& form_;
  SparsePlanes planes_;
};

}  // namespace

int64_t PlanesKernel::run_each(std::span<const PlanesRun> runs) const {
  int64_t macs = 0;
  for (const PlanesRun& one : runs) macs += run(one);
  return macs;
}

std::unique_ptr<PlanesKernel> make_planes_product(const Graph& graph, const Step& step) {
  if (step.gate.kind != GateKind::None) return make_planes_gated_product(graph, step);
  if (step.format == Format::Sparse) return std::make_unique<SparseProduct>(graph, step);
  if (espalier::detail::is_depthwise(product_shape(graph, step, 1))) {
    return std::make_unique<DepthwiseProduct>(graph, step);
  }
  if (FewPlanes::fits(product_shape(graph, step, 1), held_as(graph))) {
    return std::make_unique<FewProduct>(graph, step);
  }
  const int tile = WinogradPlanes::tile_size(product_shape(graph, step, 1));
  if (step.format == Format::Winograd && tile != 0) {
    return std::make_unique<WinogradProduct>(graph, step, tile);
  }
  return std::make_unique<DenseProduct>(graph, step);
}

namespace {

std::unique_ptr<PlanesKernel> make_unguarded(const Graph& graph, const Step& step) {
  switch (step.kind) {
    case StepKind::Product:
      return make_planes_product(graph, step);
    case StepKind::Affine:
    case StepKind::Add:
    case StepKind::Clamp:
      return make_planes_elementwise(graph, step);
    case StepKind::MaxPool:
    case StepKind::MeanPool:
      return make_planes_pool(graph, step);
    case StepKind::Copy:
      return make_planes_copy(graph, step);
    case StepKind::Decision:
      return make_planes_decision(graph, step);
    case StepKind::Plain:
      return make_planes_plain(step);
  }
  throw ValueError("plan: unknown kind of step");
}

}  // namespace

std::unique_ptr<PlanesKernel> make_planes_kernel(const Graph& graph, const Step& step) {
  std::unique_ptr<PlanesKernel> kernel = make_unguarded(graph, step);
  const bool may_close = step.guard >= 0 || step.join >= 0;
  return may_close ? make_planes_guarded(graph, step, std::move(kernel)) : std::move(kernel);
}

}  // namespace espalier::nn::plan
