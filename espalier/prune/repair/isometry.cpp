// SPDX-License-Identifier: Apache-2.0
/// The way back to isometry: R = ||W W' - 1||_F and dR/dW = 2 (W W' - 1) W / R, of what stays.
///
/// Source: Lee, Ajanthan, Gould, Torr, arXiv 1906.06307 (the norm is not squared), and the settings
/// of its published code.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include <espalier/core/kernels/gemm.h>
#include <espalier/nn/forms/slots.h>
#include <espalier/prune/ground/as_double.h>
#include <espalier/prune/repair/repair.h>

namespace espalier::prune {
namespace {

/// R is zero but for rounding, and its gradient is not defined.
constexpr double kThere = 1e-12;
constexpr int64_t kIsometryPatience = 100;

/// Moves the living entries of w (rows, columns), which is zero elsewhere.
void descend(Tensor& w, const uint8_t* lives, const IsometryOptions& options) {
  const int64_t rows = w.size(0);
  Tensor gap = Tensor::empty({rows, rows}, DType::F64);
  Tensor gradient = Tensor::empty(w.shape(), DType::F64);
  double best = std::numeric_limits<double>::infinity();
  int64_t best_at = 0;
  for (int64_t step = 0; step < options.steps; ++step) {
    gemm(w, w.transpose(0, 1), gap);
    double squares = 0.0;
    for (int64_t i = 0; i < gap.numel(); ++i) {
      double& x = gap.data<double>()[i];
      if (i % (rows + 1) == 0) x -= 1.0;
      squares += x * x;
    }
    const double norm = std::sqrt(squares);
    if (norm < kThere) return;
    if (norm < best) {
      best = norm;
      best_at = step;
    } else if (step - best_at >= kIsometryPatience) {
      return;
    }
    gemm(gap, w, gradient);
    for (int64_t i = 0; i < w.numel(); ++i) {
      if (lives[i] == 0) continue;
      w.data<double>()[i] -= options.rate * 2.0 / norm * gradient.data<double>()[i];
    }
  }
}

class IsometryRepair : public Repair {
 public:
  explicit IsometryRepair(const IsometryOptions& options) : options_(options) {}
  bool chooses() const override { return false; }

  void refit(const RepairContext& context,
             std::span<const Site> sites,
             std::span<const std::vector<uint8_t>> kept) override {
    if (options_.steps == 0) return;
    // Of channels a weight belongs to two sites.
    std::vector<const SitePart*> weights;
    std::map<const nn::Parameter*, Tensor> lives;
    for (size_t s = 0; s < sites.size(); ++s) {
      for (const SitePart& part : sites[s].parts) {
        if (part.parameter->shape().rank() < 2) continue;
        Tensor& mask = lives[part.parameter];
        if (!mask.defined()) {
          weights.push_back(&part);
          mask = part.parameter->masked() ? part.parameter->mask().clone()
                                          : Tensor::ones(part.parameter->shape(), DType::U8);
        }
        for (int64_t i = 0; i < mask.numel(); ++i) {
          const int64_t unit = part.units.unit(i);
          if (unit >= 0 && kept[s][static_cast<size_t>(unit)] == 0) mask.data<uint8_t>()[i] = 0;
        }
      }
    }
    for (const nn::FormSite& layer : nn::form_sites(context.model)) {
      const auto part = std::ranges::find(weights, layer.weight, &SitePart::name);
      if (part == weights.end()) continue;
      move(*(*part)->parameter, lives.at((*part)->parameter), layer.slot.groups);
    }
  }

 private:
  void move(nn::Parameter& weight, const Tensor& lives, int64_t groups) const {
    Tensor value = as_double(weight.value.value());
    for (int64_t i = 0; i < value.numel(); ++i) {
      if (lives.data<uint8_t>()[i] == 0) value.data<double>()[i] = 0.0;
    }
    const int64_t rows = weight.shape()[0] / groups;
    const int64_t size = weight.numel() / groups;
    for (int64_t g = 0; g < groups; ++g) {
      Tensor group = Tensor::empty({rows, size / rows}, DType::F64);
      double* of_group = value.data<double>() + g * size;
      std::copy_n(of_group, size, group.data<double>());
      descend(group, lives.data<uint8_t>() + g * size, options_);
      std::copy_n(group.data<double>(), size, of_group);
    }
    weight.value.value().copy_(value.to(weight.value.dtype()));
  }

  IsometryOptions options_;
};

}  // namespace

std::shared_ptr<Repair> isometry_repair(const IsometryOptions& options) {
  ESPALIER_CHECK(options.steps >= 0 && options.rate > 0.0,
                 ValueError,
                 "isometry: expects steps >= 0 and a rate > 0, got ",
                 options.steps,
                 " and ",
                 options.rate);
  return std::make_shared<IsometryRepair>(options);
}

}  // namespace espalier::prune
