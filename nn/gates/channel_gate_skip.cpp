// SPDX-License-Identifier: Apache-2.0
// ChannelGate in evaluation: decide for a sample, then compute the chosen output channels from the
// input channels that are not zero. Channels which the layer before left out are zero everywhere,
// and so are those that its ReLU emptied.
#include <algorithm>
#include <cstring>
#include <numeric>

#include <espalier/core/kernels/conv2d_planes.h>
#include <espalier/core/mac_counter.h>
#include <espalier/nn/gates/channel_gate.h>
#include <espalier/nn/gates/plane_loops.h>

namespace espalier::nn {
namespace {

using espalier::detail::DensePlanes;
using espalier::detail::kPlanesSlack;

/// What one sample needs while it is computed.
struct Workspace {
  Workspace(const Conv2dShape& shape, const DensePlanes& planes)
      : input(Tensor::zeros({shape.c * shape.h * shape.w + 2 * kPlanesSlack})),
        scratch(Tensor::empty({planes.scratch_size()})),
        means(static_cast<size_t>(shape.c)) {
    // Lists that are empty must not look like lists of all.
    in.reserve(static_cast<size_t>(shape.c));
    out.reserve(static_cast<size_t>(shape.k));
  }
  float* x() { return input.data<float>() + kPlanesSlack; }

  Tensor input;  // a copy, for kernels read a little before and behind it
  Tensor scratch;
  std::vector<float> means;
  std::vector<int32_t> in, out;
};

/// g = max(phi means + rho, 0), of which the k largest stay.
void decide(const Tensor& phi,
            const Tensor& rho,
            const std::vector<float>& means,
            int64_t kept,
            float* pi) {
  const int64_t channels = phi.size(0);
  const float* row = phi.data<float>();
  for (int64_t k = 0; k < channels; ++k) {
    float sum = rho.data<float>()[k];
    for (const float mean : means) sum += *row++ * mean;
    pi[k] = std::max(sum, 0.0F);
  }
  std::vector<int64_t> order(static_cast<size_t>(channels));
  std::iota(order.begin(), order.end(), int64_t{0});
  std::nth_element(order.begin(), order.begin() + kept - 1, order.end(), [&](int64_t a, int64_t b) {
    return pi[a] != pi[b] ? pi[a] > pi[b] : a < b;
  });
  for (auto lost = order.begin() + kept; lost != order.end(); ++lost) pi[*lost] = 0.0F;
}

template <class IsIn>
void list_channels(int64_t channels, std::vector<int32_t>& list, IsIn is_in) {
  list.clear();
  for (int64_t c = 0; c < channels; ++c) {
    if (is_in(c)) list.push_back(static_cast<int32_t>(c));
  }
}

}  // namespace

Variable ChannelGate::skip(const Variable& x,
                           const Tensor& filters,
                           const Tensor& offsets,
                           Conv2dShape shape) {
  const int64_t samples = shape.n;
  shape.n = 1;
  const Tensor images = x.value().to(Layout::Nchw).contiguous();
  Tensor y = Tensor::empty({samples, shape.k, shape.p, shape.q});
  Tensor pi = Tensor::empty({samples, shape.k});
  const Tensor& phi = weight.value.value();
  const Tensor& rho = bias.value.value();
  const DensePlanes planes(shape);
  const int64_t in_plane = shape.h * shape.w;
  const int64_t out_plane = shape.p * shape.q;
  const int64_t kept_now = kept();
  const bool share = samples == 1;
  std::vector<int64_t> macs(static_cast<size_t>(samples));

  const auto run_sample = [&](int64_t n, Workspace& work) {
    const float* image = images.data<float>() + n * shape.c * in_plane;
    float* decision = pi.data<float>() + n * shape.k;
    detail::for_pieces(share, shape.c, in_plane, [&](int64_t c) {
      float* copy = work.x() + c * in_plane;
      const float sum = detail::copy_and_sum(image + c * in_plane, in_plane, copy);
      work.means[static_cast<size_t>(c)] = sum / static_cast<float>(in_plane);
    });
    decide(phi, rho, work.means, kept_now, decision);
    list_channels(
        shape.c, work.in, [&](int64_t c) { return work.means[static_cast<size_t>(c)] != 0.0F; });
    list_channels(shape.k, work.out, [&](int64_t k) { return decision[k] != 0.0F; });
    const espalier::detail::PlanesChannels channels{work.in, work.out};
    const espalier::detail::PlanesOperands operands{
        .x = work.x(),
        .weight = filters.data<float>(),
        .bias = offsets.defined() ? offsets.data<float>() : nullptr,
        .y = y.data<float>() + n * shape.k * out_plane};
    float* scratch = work.scratch.data<float>();
    detail::for_pieces(share, planes.fill_tasks(channels), in_plane, [&](int64_t task) {
      planes.fill(task, work.x(), channels, scratch);
    });
    const auto pairs = static_cast<int64_t>(work.in.size() * work.out.size());
    const int64_t products = pairs * shape.r * shape.s * out_plane;
    const int64_t tasks = planes.tasks(channels);
    detail::for_pieces(share, tasks, products / std::max<int64_t>(1, tasks), [&](int64_t task) {
      planes.run(task, operands, channels, scratch);
    });
    macs[static_cast<size_t>(n)] = products + shape.c * shape.k;
  };

  parallel_for(samples, 1, [&](int64_t begin, int64_t end) {
    Workspace work(shape, planes);
    for (int64_t n = begin; n < end; ++n) run_sample(n, work);
  });
  count_macs(std::accumulate(macs.begin(), macs.end(), int64_t{0}));
  pi_ = Variable(pi);
  return Variable(y.to(x.layout()));
}

Variable ChannelGate::finish(const Variable& y,
                             const Affine& affine,
                             const Variable& residual,
                             bool relu) {
  const Tensor pi = take_decision(y).value();
  skipped_ = false;
  Tensor out = y.value().to(Layout::Nchw);
  const Tensor added =
      residual.defined() ? residual.value().to(Layout::Nchw).contiguous() : Tensor();
  const int64_t channels = y.size(1);
  const int64_t plane = y.size(2) * y.size(3);
  detail::for_pieces(true, y.size(0) * channels, plane, [&](int64_t i) {
    float* values = out.data<float>() + i * plane;
    const float* extra = added.defined() ? added.data<float>() + i * plane : nullptr;
    const float boost = pi.data<float>()[i];
    const auto c = static_cast<size_t>(i % channels);
    if (boost == 0.0F) {  // nothing was written there: not even zero times it is zero
      std::memset(values, 0, static_cast<size_t>(plane) * sizeof(float));
      if (extra != nullptr) detail::finish_plane(values, plane, 1.0F, 0.0F, extra, relu);
      return;
    }
    detail::finish_plane(
        values, plane, boost * affine.scale[c], boost * affine.shift[c], extra, relu);
  });
  return Variable(out.to(y.layout()));
}

}  // namespace espalier::nn
