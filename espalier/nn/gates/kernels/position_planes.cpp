// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/gates/kernels/position_planes.h>

#include <numeric>

#include <espalier/nn/gates/kernels/plane_loops.h>

namespace espalier::nn::detail {
namespace {

using espalier::detail::PlanesOperands;

std::vector<int32_t> part_of(int64_t part, int64_t size) {
  std::vector<int32_t> out(static_cast<size_t>(size));
  std::iota(out.begin(), out.end(), static_cast<int32_t>(part * size));
  return out;
}

}  // namespace

PositionGatedPlanes::PositionGatedPlanes(const PositionGatedLayer& layer)
    : layer_(layer),
      planes_(layer.shape),
      rest_(layer.shape, layer.weight.data<float>(), layer.parts) {
  for (int64_t part = 0; part < layer.parts; ++part) {
    in_.push_back(part_of(part, layer.shape.c / layer.parts));
    out_.push_back(part_of(part, layer.shape.k / layer.parts));
  }
  tasks_of_part_ = planes_.tasks({in_[0], out_[0]});
  rest_at_ = whole_lines(planes_.scratch_size());
  positions_at_ = rest_at_ + whole_lines(rest_.scratch_size());
}

int64_t PositionGatedPlanes::scratch_floats() const {
  return positions_at_ + whole_lines(layer_.shape.k * list_floats());
}

/// How many are open, then these.
int32_t* PositionGatedPlanes::positions(const PositionGatedSample& sample, int64_t k) const {
  return reinterpret_cast<int32_t*>(sample.scratch + positions_at_ + k * list_floats());
}

int64_t PositionGatedPlanes::list_floats() const {
  return 1 + layer_.shape.p * layer_.shape.q + kListSlack;
}

int64_t PositionGatedPlanes::input_floats() const {
  return layer_.shape.c * layer_.shape.h * layer_.shape.w;
}

void PositionGatedPlanes::fill(const PositionGatedSample& sample, int64_t task) const {
  const int64_t row = task - planes_.fill_tasks();
  if (row < 0) return planes_.fill(task, sample.x, {}, sample.scratch);
  rest_.fill(sample.x, row, row + 1, sample.scratch + rest_at_);
}

void PositionGatedPlanes::add_part(const PositionGatedSample& sample, int64_t task) const {
  const auto part = static_cast<size_t>(task / tasks_of_part_);
  const PlanesOperands operands{
      .x = sample.x, .weight = layer_.weight.data<float>(), .y = sample.y};
  planes_.run(task % tasks_of_part_, operands, {in_[part], out_[part]}, sample.scratch);
}

void PositionGatedPlanes::add_rest(const PositionGatedSample& sample, int64_t k) const {
  const int64_t plane = layer_.shape.p * layer_.shape.q;
  float* y = sample.y + k * plane;
  int32_t* open = positions(sample, k);
  const int64_t count = sample.open == nullptr
                            ? list_above(y, plane, sample.least[k], open + 1)
                            : list_above(sample.open + k * plane, plane, 0.5F, open + 1);
  open[0] = static_cast<int32_t>(count);
  rest_.add(k, sample.scratch + rest_at_, {open + 1, static_cast<size_t>(count)}, y);
  finish_plane(y,
               plane,
               sample.scale == nullptr ? 1.0F : sample.scale[k],
               sample.shift == nullptr ? 0.0F : sample.shift[k],
               sample.residual == nullptr ? nullptr : sample.residual + k * plane,
               sample.limits);
}

int64_t PositionGatedPlanes::open_positions(const PositionGatedSample& sample) const {
  int64_t sum = 0;
  for (int64_t k = 0; k < layer_.shape.k; ++k) sum += positions(sample, k)[0];
  return sum;
}

}  // namespace espalier::nn::detail
