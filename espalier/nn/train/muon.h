// SPDX-License-Identifier: Apache-2.0
/// Muon: momentum whose direction is orthogonalized, for weights that are matrices.
#pragma once

#include <memory>
#include <set>
#include <variant>

#include <espalier/nn/train/adam.h>
#include <espalier/nn/train/sgd.h>

namespace espalier::nn {

/// By what an orthogonal update of a matrix (rows, columns) is multiplied besides the rate.
enum class MuonScale : uint8_t {
  Original,   ///< sqrt(max(1, rows / columns))
  MatchAdam,  ///< 0.2 * sqrt(max(rows, columns)): the size of AdamW's updates, and so its rates
  None        ///< 1
};

/// Settings of Muon.
struct MuonOptions {
  double lr = 0.02;                       ///< learning rate of matrices
  double momentum = 0.95;                 ///< share of the old direction
  bool nesterov = true;                   ///< look ahead along the direction
  int64_t iterations = 5;                 ///< of the orthogonalization
  MuonScale scale = MuonScale::Original;  ///< of updates
  /// Before each update the weight is brought to the Frobenius norm sqrt(rows), and its size is no
  /// matter of training: for weights in front of a batch norm.
  bool normalize_weights = false;
  /// The rule of all others: biases, norms, and what `rest_names` names. Its rate is in a fixed
  /// ratio to `lr`, whatever a schedule makes of that.
  std::variant<AdamOptions, SgdOptions> rest =
      AdamOptions{.lr = 3e-4, .beta2 = 0.95, .eps = 1e-10, .decoupled_decay = true};
  /// Weights of rank 2 or more that `rest` moves too, as patterns (parameter_groups.h): embeddings
  /// and the last layer, as is usual, `{"embedding.*", "fc.*"}`.
  std::vector<std::string> rest_names = {};
};

/// b = momentum * b + g; u = nesterov ? g + momentum * b : b; w = (1 - lr * weight_decay) * w -
/// lr * scale * orthogonal(u), for parameters of rank >= 2, seen as a matrix (first dimension,
/// others).
///
/// orthogonal(u) nearly is U V^T of u = U S V^T: X = u / max(|u|, 1e-7), lying on its longer side,
/// and `iterations` times X = 3.4445 X + (-4.7750 A + 2.0315 A A) X, A = X X^T. Singular values end
/// between about 0.7 and 1.2; from one that is 0 there comes 0.
///
/// Masks: what is kept is normalized and orthogonalized, as a matrix with zeros where the mask is;
/// the result is masked again and not made longer for what it lost. `normalize_weights` too sees
/// kept values alone. So masked entries stay zero, a regrown one has no momentum, and the rule of a
/// mask that keeps all is that of none. What is kept moves otherwise than without a mask, since the
/// singular vectors are those of the masked matrix. The step takes a dense copy of one weight.
///
/// State: `momentum_buffer`; of the rest what its rule keeps. Sources: Jordan et al., Muon (2024),
/// github.com/KellerJordan/Muon; MatchAdam: Liu et al., arXiv:2502.16982; normalized weights: the
/// form that Jordan's CIFAR-10 records with Muon have (github.com/KellerJordan/cifar10-airbench).
/// PyTorch's torch.optim.Muon computes the iteration in bfloat16, this one in the parameter's type.
class Muon : public Optimizer {
 public:
  /// Throws ValueError for settings out of range, and for names that no parameter has.
  Muon(std::vector<ParameterGroup> groups, const MuonOptions& options);
  /// All parameters of a model in one group.
  Muon(Module& model, const MuonOptions& options, double weight_decay = 0.0);

 protected:
  std::vector<std::string> slot_kinds(const NamedParameter& parameter) const override;
  bool counts_entries(const NamedParameter& parameter) const override;
  void update(NamedParameter& parameter, ParameterState& state, double lr, double decay) override;

 private:
  bool is_rest(const NamedParameter& parameter) const;

  MuonOptions options_;
  std::unique_ptr<Optimizer> rest_;  // a rule
  double rest_ratio_;                // of its rate
  std::set<std::string> rest_names_;
};

/// The matrix (M,N) nearly orthogonalized by `iterations` steps, as in `Muon`; float32 or float64.
/// Throws ShapeError unless it is a matrix.
Tensor orthogonalized(const Tensor& matrix, int64_t iterations = 5);

}  // namespace espalier::nn
