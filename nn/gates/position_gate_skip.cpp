// SPDX-License-Identifier: Apache-2.0
// PositionGate in evaluation: partial sums in planes, a list of positions for each output channel,
// and the rest of the sum at these positions alone.
#include <cmath>
#include <cstring>
#include <numeric>

#include <espalier/core/kernels/conv2d_planes.h>
#include <espalier/core/kernels/conv2d_positions.h>
#include <espalier/core/mac_counter.h>
#include <espalier/nn/gates/plane_loops.h>
#include <espalier/nn/gates/position_gate.h>

namespace espalier::nn {
namespace {

using espalier::detail::ConvAtPositions;
using espalier::detail::DensePlanes;
using espalier::detail::kPlanesSlack;

bool same_values(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() &&
         std::memcmp(a.raw(), b.raw(), static_cast<size_t>(a.nbytes())) == 0;
}

bool same_geometry(const Conv2dShape& a, const Conv2dShape& b) {
  return a.h == b.h && a.w == b.w && a.options.stride == b.options.stride &&
         a.options.padding == b.options.padding && a.options.dilation == b.options.dilation;
}

/// What one sample needs while it is computed.
struct Workspace {
  Workspace(const Conv2dShape& shape, const DensePlanes& planes, const ConvAtPositions& rest)
      : input(Tensor::zeros({shape.c * shape.h * shape.w + 2 * kPlanesSlack})),
        partial_scratch(Tensor::empty({planes.scratch_size()})),
        rest_scratch(Tensor::empty({rest.scratch_size()})),
        positions(Tensor::empty({shape.k, shape.p * shape.q + 1}, DType::I32)) {}
  float* x() { return input.data<float>() + kPlanesSlack; }

  Tensor input;  // a copy, for kernels read a little before and behind it
  Tensor partial_scratch;
  Tensor rest_scratch;
  Tensor positions;  // a list for each output channel
};

std::vector<int32_t> part_of(int64_t part, int64_t size) {
  std::vector<int32_t> out(static_cast<size_t>(size));
  std::iota(out.begin(), out.end(), static_cast<int32_t>(part * size));
  return out;
}

}  // namespace

std::vector<float> PositionGate::least_partial_sums() const {
  std::vector<float> out;
  for (int64_t k = 0; k < options_.channels; ++k) {
    const double spread = std::sqrt(running_var.at({k}) + options_.eps);
    out.push_back(
        static_cast<float>(running_mean.at({k}) + threshold.value.value().at({k}) * spread));
  }
  return out;
}

std::shared_ptr<const ConvAtPositions> PositionGate::packed(const Conv2dShape& shape,
                                                            const Tensor& weight) {
  // Comparing costs far less than packing, and never misses a change.
  if (!packed_ || !same_geometry(packed_->shape, shape) || !same_values(packed_->source, weight)) {
    auto rest =
        std::make_shared<const ConvAtPositions>(shape, weight.data<float>(), options_.parts);
    packed_ = std::make_shared<const Packed>(Packed{weight.clone(), shape, std::move(rest)});
  }
  return packed_->weight;
}

Variable PositionGate::skip(const Variable& x,
                            const Tensor& weight,
                            const Tensor& bias,
                            Conv2dShape shape) {
  const int64_t samples = shape.n;
  shape.n = 1;
  const Tensor images = x.value().to(Layout::Nchw).contiguous();
  Tensor y = Tensor::empty({samples, shape.k, shape.p, shape.q});
  const DensePlanes planes(shape);
  const auto rest = packed(shape, weight);
  const std::vector<float> least = least_partial_sums();
  const int64_t parts = options_.parts;
  const int64_t in_plane = shape.h * shape.w;
  const int64_t out_plane = shape.p * shape.q;
  const int64_t partial_macs = shape.k * out_plane * (shape.c / parts) * shape.r * shape.s;
  std::vector<std::vector<int32_t>> in;
  std::vector<std::vector<int32_t>> out;
  for (int64_t part = 0; part < parts; ++part) {
    in.push_back(part_of(part, shape.c / parts));
    out.push_back(part_of(part, shape.k / parts));
  }
  const int64_t tasks_of_part = planes.tasks({in[0], out[0]});
  const int64_t tasks = parts * tasks_of_part;
  const bool share = samples == 1;
  std::vector<int64_t> opened(static_cast<size_t>(samples * shape.k));

  const auto run_sample = [&](int64_t n, Workspace& work) {
    std::memcpy(work.x(),
                images.data<float>() + n * shape.c * in_plane,
                static_cast<size_t>(shape.c * in_plane) * sizeof(float));
    float* result = y.data<float>() + n * shape.k * out_plane;
    float* partial_scratch = work.partial_scratch.data<float>();
    float* rest_scratch = work.rest_scratch.data<float>();
    detail::for_pieces(share, planes.fill_tasks(), in_plane, [&](int64_t task) {
      planes.fill(task, work.x(), {}, partial_scratch);
    });
    detail::for_pieces(share, rest->rows(), shape.w * shape.c, [&](int64_t row) {
      rest->fill(work.x(), row, row + 1, rest_scratch);
    });
    const espalier::detail::PlanesOperands operands{
        .x = work.x(), .weight = weight.data<float>(), .y = result};
    detail::for_pieces(share, tasks, partial_macs / tasks, [&](int64_t task) {
      const auto part = static_cast<size_t>(task / tasks_of_part);
      planes.run(task % tasks_of_part, operands, {in[part], out[part]}, partial_scratch);
    });
    detail::for_pieces(share, shape.k, out_plane * rest->macs() / 4, [&](int64_t k) {
      float* plane = result + k * out_plane;
      int32_t* positions = work.positions.data<int32_t>() + k * (out_plane + 1);
      const int64_t count =
          detail::list_above(plane, out_plane, least[static_cast<size_t>(k)], positions);
      rest->add(k, rest_scratch, {positions, static_cast<size_t>(count)}, plane);
      opened[static_cast<size_t>(n * shape.k + k)] = count;
      if (bias.defined()) {
        detail::finish_plane(plane, out_plane, 1.0F, bias.data<float>()[k], nullptr, false);
      }
    });
  };

  parallel_for(samples, 1, [&](int64_t begin, int64_t end) {
    Workspace work(shape, planes, *rest);
    for (int64_t n = begin; n < end; ++n) run_sample(n, work);
  });
  const int64_t positions = std::accumulate(opened.begin(), opened.end(), int64_t{0});
  count_macs(samples * partial_macs + positions * rest->macs());
  return Variable(y.to(x.layout()));
}

}  // namespace espalier::nn
