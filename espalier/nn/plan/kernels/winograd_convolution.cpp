// SPDX-License-Identifier: Apache-2.0
// Dense 3x3 convolution of stride 1 by core's Winograd, with filters transformed once.
// A run allocates nothing, and each task ends with its epilogue.
#include <espalier/core/kernels/conv2d/winograd_tiles.h>
#include <espalier/nn/plan/kernels/product.h>

namespace espalier::nn::plan {
namespace {

class WinogradConvolution : public Product {
 public:
  WinogradConvolution(const Graph& graph, const Step& step, int64_t blocks)
      : Product(graph, step),
        conv_(espalier::detail::WinogradCorrelation::forward(shape_, tile(), blocks)),
        filters_(conv_.transform_filters(
            step.weight.data<float>(), espalier::detail::forward_strides(shape_), false)) {}

  void run(const Run& run) const override {
    for_tasks(run, conv_.tasks(run.blocks), [&](int64_t task, float* scratch) {
      conv_.run(
          task, run.blocks, run.read(x_), filters_.data<float>(), bias(), run.write(y_), scratch);
      if (epilogue_.any()) finish_tiles(run, task);
    });
  }

  int64_t scratch_floats() const override { return conv_.scratch_size(); }
  int64_t nbytes() const override { return filters_.nbytes() + bias_bytes(); }
  int64_t macs() const override { return shape_.macs(); }
  std::string_view format() const override { return "winograd"; }

 private:
  // The step's format says that it is Winograd's even where the process has chosen direct products
  // since.
  espalier::detail::WinogradTile tile() const {
    return {std::max(2, winograd_tile(shape_, Conv2dPass::Forward))};
  }

  void finish_tiles(const Run& run, int64_t task) const {
    espalier::detail::WinogradCorrelation::Room room;
    for (const espalier::detail::Tiling::Run& at : conv_.runs(task, run.blocks, room)) {
      const int64_t width = std::min(shape_.q - at.col, at.tiles * conv_.tile_size());
      for (int64_t r = 0; r < at.height; ++r) {
        finish_run(run, at.block, at.row + r, at.col, width);
      }
    }
  }

  espalier::detail::WinogradCorrelation conv_;
  Tensor filters_;
};

}  // namespace

std::unique_ptr<Kernel> make_winograd_convolution(const Graph& graph,
                                                  const Step& step,
                                                  int64_t blocks) {
  return std::make_unique<WinogradConvolution>(graph, step, blocks);
}

}  // namespace espalier::nn::plan
