// SPDX-License-Identifier: Apache-2.0
/// Channel pruning by LASSO regression and least squares: the beta step and the W step of He,
/// Zhang, Sun. Channels are chosen once and then reconstructed once, as in the published code; a
/// channel's contribution is not normalized, and a batch norm behind the layer counts as a part of
/// it. There is no intercept: a convolution before a batch norm has no bias that could take it, so
/// it would have to go into statistics that fine-tuning measures again anyway. The last layer of a
/// residual branch makes up for the shortcut's error (section 3.3).
#include <algorithm>

#include <espalier/prune/curvature/gram.h>
#include <espalier/prune/curvature/layer_inputs.h>
#include <espalier/prune/curvature/linalg/cholesky.h>
#include <espalier/prune/curvature/linalg/lasso.h>
#include <espalier/prune/curvature/response.h>
#include <espalier/prune/repair/repair.h>
#include <espalier/prune/sites/reader.h>

namespace espalier::prune {
namespace {

void add(Tensor& sum, const Tensor& more) {
  if (!sum.defined()) sum = Tensor::zeros(more.shape(), DType::F64);
  double* s = sum.data<double>();
  const double* m = more.data<double>();
  for (int64_t i = 0; i < sum.numel(); ++i) s[i] += m[i];
}

/// sum += a - b, for the elements of a and b from `first` on.
void add_difference(Tensor& sum, const Tensor& a, const Tensor& b, int64_t first) {
  double* s = sum.data<double>();
  const double* plus = a.data<double>() + first;
  const double* minus = b.data<double>() + first;
  for (int64_t i = 0; i < sum.numel(); ++i) s[i] += plus[i] - minus[i];
}

/// A layer's inputs X in the network pruned so far against its outputs Y in the original one,
/// behind their batch norm. At the end of a residual branch Y is what makes the sum right: with the
/// shortcut's difference between the two networks.
struct Regression {
  Tensor gram;                ///< Xᵀ X (columns, columns)
  Tensor cross;               ///< Xᵀ Y (columns, outputs)
  int64_t positions = 0;      ///< rows of X
  std::vector<double> scale;  ///< of the batch norm, per output
};

/// A weight as its batch norm makes it: rows times their scales; and back, where rows without any
/// effect (scale 0) are taken from `before`.
Tensor with_norm(const Tensor& weight, const std::vector<double>& scale) {
  Tensor out = weight.clone();
  const int64_t columns = weight.size(1);
  double* w = out.data<double>();
  for (int64_t i = 0; i < out.numel(); ++i) w[i] *= scale[static_cast<size_t>(i / columns)];
  return out;
}
Tensor without_norm(const Tensor& weight, const std::vector<double>& scale, const Tensor& before) {
  std::vector<double> inverse;
  for (double s : scale) inverse.push_back(s == 0.0 ? 0.0 : 1.0 / s);
  Tensor out = with_norm(weight, inverse);
  const int64_t columns = weight.size(1);
  for (int64_t i = 0; i < out.numel(); ++i) {
    if (scale[static_cast<size_t>(i / columns)] != 0.0) continue;
    out.data<double>()[i] = before.data<double>()[i];
  }
  return out;
}

/// Rows and columns of a matrix that are wanted.
Tensor submatrix(const Tensor& a,
                 const std::vector<int64_t>& rows,
                 const std::vector<int64_t>& columns) {
  Tensor out = Tensor::empty(
      {static_cast<int64_t>(rows.size()), static_cast<int64_t>(columns.size())}, DType::F64);
  double* to = out.data<double>();
  for (int64_t i : rows) {
    for (int64_t j : columns) *to++ = a.data<double>()[i * a.size(1) + j];
  }
  return out;
}

class LassoLeastSquares : public Repair {
 public:
  explicit LassoLeastSquares(int64_t batches) : batches_(batches) {}

  bool compares() const override { return true; }

  std::string refusal(const Site& site) const override {
    return only_reader(site) != nullptr ? "" : "not exactly one layer reads them";
  }

  void begin(const RepairContext& context) override {
    count_ = calibration_count(context.inputs, batches_, context.notes);
  }

  std::vector<uint8_t> repair(const RepairContext& context,
                              const Site& site,
                              int64_t kept) override {
    return prune_channels(context.model, *context.original, site, kept, context.inputs);
  }

 private:
  Regression measure(nn::Module& model,
                     nn::Module& original,
                     const SitePart& part,
                     const PruneInputs& inputs) const {
    const nn::NamedParameter here = {part.name, part.parameter};
    const nn::NamedParameter there = {part.name, &original.parameter(part.name)};
    const Tensor whole = as_matrix(there.parameter->value.value());
    Regression sums;
    for (int64_t index = 0; index < count_; ++index) {
      data::Batch batch = inputs.batch(index);
      const auto same = [&](int64_t) { return batch; };
      const Response wanted = response_behind(original, there, batch.images);
      const Response is = response_behind(model, here, batch.images);
      sums.scale = wanted.scale;
      const Tensor scaled = with_norm(whole, wanted.scale).transpose(0, 1);
      std::vector<Tensor> outputs;
      int64_t first = 0;
      visit_layer_inputs(
          original, {&there, 1}, same, 1, [&](size_t, int64_t group, const Tensor& x) {
            ESPALIER_CHECK(
                group == 0, NotImplemented, "prune: a grouped convolution reads ", part.name);
            Tensor y = matrix_product(x, scaled);
            if (wanted.shortcut.defined() && is.shortcut.defined()) {
              add_difference(y, wanted.shortcut, is.shortcut, first);
            }
            first += y.numel();
            outputs.push_back(std::move(y));
          });
      size_t next = 0;
      visit_layer_inputs(model, {&here, 1}, same, 1, [&](size_t, int64_t, const Tensor& x) {
        add(sums.gram, matrix_product(x.transpose(0, 1), x));
        add(sums.cross, matrix_product(x.transpose(0, 1), outputs[next++]));
        sums.positions += x.size(0);
      });
    }
    return sums;
  }

  /// Chooses the channels of a site and makes the layer that reads them do without the others.
  std::vector<uint8_t> prune_channels(nn::Module& model,
                                      nn::Module& original,
                                      const Site& site,
                                      int64_t kept,
                                      const PruneInputs& inputs) const {
    const SitePart& part = *only_reader(site);
    const Regression sums = measure(model, original, part, inputs);
    const Tensor before = as_matrix(part.parameter->value.value());
    Tensor weight = with_norm(before, sums.scale);
    const std::vector<int64_t> channel = channel_of_column(part);
    std::vector<uint8_t> keep = choose(sums, weight, channel, site.units, kept);
    std::vector<int64_t> stay;
    for (size_t j = 0; j < channel.size(); ++j) {
      if (channel[j] < 0 || keep[static_cast<size_t>(channel[j])] != 0) {
        stay.push_back(static_cast<int64_t>(j));
      }
    }
    reconstruct(sums, stay, weight);
    weight = without_norm(weight, sums.scale, before);
    part.parameter->value.value().copy_(from_matrix(weight, part.parameter->shape()));
    part.parameter->apply_mask();
    return keep;
  }

  /// The beta step: Z_c = vec(X_c W_cᵀ), y = vec(Y) less what the columns of no channel give.
  static std::vector<uint8_t> choose(const Regression& sums,
                                     const Tensor& weight,
                                     const std::vector<int64_t>& channel,
                                     int64_t channels,
                                     int64_t kept) {
    const auto columns = static_cast<int64_t>(channel.size());
    const int64_t outputs = weight.size(0);
    const double rows = static_cast<double>(sums.positions) * static_cast<double>(outputs);
    const Tensor added = contribution_gram(sums.gram, weight, channel, channels);
    Tensor gram = Tensor::empty({channels, channels}, DType::F64);
    std::vector<double> c(static_cast<size_t>(channels));
    for (int64_t i = 0; i < channels; ++i) {
      const double* row = added.data<double>() + i * (channels + 1);
      for (int64_t j = 0; j < channels; ++j) gram.data<double>()[i * channels + j] = row[j] / rows;
      c[static_cast<size_t>(i)] = -row[channels] / rows;
    }
    const double* w = weight.data<double>();
    const double* x = sums.cross.data<double>();
    for (int64_t a = 0; a < columns; ++a) {
      const int64_t i = channel[static_cast<size_t>(a)];
      if (i < 0) continue;
      for (int64_t o = 0; o < outputs; ++o) {
        c[static_cast<size_t>(i)] += w[o * columns + a] * x[a * outputs + o] / rows;
      }
    }
    return lasso_support(gram, c, kept);
  }

  /// The W step: least squares over the columns that stay, with a slight pull to the weights as
  /// they are, which settles what the data leave open.
  static void reconstruct(const Regression& sums,
                          const std::vector<int64_t>& stay,
                          Tensor& weight) {
    const int64_t columns = weight.size(1);
    const int64_t outputs = weight.size(0);
    const auto count = static_cast<int64_t>(stay.size());
    std::vector<int64_t> all(static_cast<size_t>(outputs));
    for (int64_t o = 0; o < outputs; ++o) all[static_cast<size_t>(o)] = o;
    double* w = weight.data<double>();
    Tensor before = Tensor::empty({count, outputs}, DType::F64);
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t o = 0; o < outputs; ++o) {
        before.data<double>()[i * outputs + o] = w[o * columns + stay[static_cast<size_t>(i)]];
      }
    }
    const Tensor right = submatrix(sums.cross, stay, all);
    const Tensor solution =
        count > 0 ? solve_near(submatrix(sums.gram, stay, stay), right, before) : right;
    std::fill(w, w + weight.numel(), 0.0);
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t o = 0; o < outputs; ++o) {
        w[o * columns + stay[static_cast<size_t>(i)]] = solution.data<double>()[i * outputs + o];
      }
    }
  }

  int64_t batches_;
  int64_t count_ = 0;
};

}  // namespace

std::shared_ptr<Repair> lasso_least_squares(int64_t batches) {
  return std::make_shared<LassoLeastSquares>(batches);
}

}  // namespace espalier::prune
