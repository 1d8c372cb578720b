// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/curvature/input_moments.h>

#include <espalier/core/parallel.h>
#include <espalier/prune/curvature/layer_inputs.h>

namespace espalier::prune {
namespace {

/// Takes in more positions, (positions, columns). Parts are joined by their means and deviances,
/// which loses nothing where a mean is large and a variance is small. Source: Chan, Golub, LeVeque,
/// "Updating formulae and a pairwise algorithm for computing sample variances", 1979.
void join(InputMoments::Columns& all, const Tensor& x) {
  const int64_t rows = x.size(0);
  const int64_t columns = x.size(1);
  all.mean.resize(static_cast<size_t>(columns));
  all.deviance.resize(static_cast<size_t>(columns));
  const auto before = static_cast<double>(all.positions);
  const auto more = static_cast<double>(rows);
  const double* values = x.data<double>();
  parallel_for(columns, 16, [&](int64_t begin, int64_t end) {
    for (int64_t j = begin; j < end; ++j) {
      double mean = 0.0;
      for (int64_t i = 0; i < rows; ++i) mean += values[i * columns + j] / more;
      double deviance = 0.0;
      for (int64_t i = 0; i < rows; ++i) {
        const double d = values[i * columns + j] - mean;
        deviance += d * d;
      }
      const auto c = static_cast<size_t>(j);
      const double apart = mean - all.mean[c];
      all.mean[c] += apart * more / (before + more);
      all.deviance[c] += deviance + apart * apart * before * more / (before + more);
    }
  });
  all.positions += rows;
}

}  // namespace

double InputMoments::Columns::variance(size_t column) const {
  return positions < 2 ? 0.0 : deviance[column] / static_cast<double>(positions - 1);
}

void InputMoments::find(nn::Module& model,
                        std::span<const nn::NamedParameter> weights,
                        const PruneInputs& inputs,
                        std::vector<std::string>* notes) {
  found_.clear();
  visit_layer_inputs(model,
                     weights,
                     calibration_batches(inputs),
                     calibration_count(inputs, batches_, notes),
                     [&](size_t weight, int64_t group, const Tensor& x) {
                       ESPALIER_CHECK(group == 0,
                                      NotImplemented,
                                      "input moments: ",
                                      weights[weight].name,
                                      " is of a grouped convolution");
                       join(found_[weights[weight].name], x);
                     });
}

const InputMoments::Columns& InputMoments::of(const std::string& weight) const {
  const auto found = found_.find(weight);
  ESPALIER_CHECK(found != found_.end(),
                 ValueError,
                 "input moments: ",
                 weight,
                 " has none; they are found by the score of the same update");
  return found->second;
}

}  // namespace espalier::prune
