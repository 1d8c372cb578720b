// SPDX-License-Identifier: Apache-2.0
/// Gradients for scores: of one batch, on all positions of a weight, without leaving a trace in the
/// model (a copy of it is differentiated).
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include <espalier/prune/curvature/block_fisher.h>
#include <espalier/prune/curvature/landscape.h>
#include <espalier/prune/curvature/linalg/surgeon.h>
#include <espalier/prune/scores/score.h>

namespace espalier::prune {

/// |w dL/dw| of the mean loss over `batches` batches: others at every update, in the order of the
/// data; 0: all that there are, each once. In rounds that choose among all weights, w is the value
/// of before the first, and the gradient is that of the network under the last round's mask. Throws
/// ValueError for all of data whose size nobody tells. (snip.cpp)
std::unique_ptr<Score> snip_score(ScoringMode mode, int64_t batches = 1);

/// |w| + lambda |dL/dw| of one batch, another one at each update; the gradient is of the weights
/// that are there. (weight_and_gradient.cpp)
std::unique_ptr<Score> weight_and_gradient_score(double lambda, ScoringMode mode);

/// Settings of GraSP's score.
struct GraspOptions {
  int64_t samples_per_class = 10;  ///< of the batch that is scored on
  int64_t iterations = 1;          ///< draws of samples, whose gradients and Hessians are summed
  double temperature = 200.0;      ///< the loss is that of logits / T
  /// What norms do while scoring. Nothing: the batch's statistics, but running ones if scores are
  /// summed over units which, under the batch's, the loss does not notice being rescaled.
  std::optional<ScoringMode> mode = {};
  DType precision = DType::F64;  ///< of the computation
};
/// S = -w (H g); the largest are removed. 0 at removed weights. (grasp.cpp)
std::unique_ptr<Score> grasp_score(const GraspOptions& options);

/// The statistics that batch norm uses while the flow is computed.
enum class SynflowStatistics : uint8_t {
  Initial,  ///< mean 0 and variance 1, whatever training has made of them
  Running,  ///< its own, in absolute values
};
/// What stands in place of every parameter while the flow is computed.
enum class FlowOf : uint8_t {
  Absolute,  ///< |w|: a path counts by its product
  Squares    ///< w^2: by its product squared
};
/// What flows in.
enum class FlowInput : uint8_t {
  Ones,       ///< 1 everywhere: no data
  MeanSquare  ///< the mean of x^2 over samples, entry by entry
};
/// Settings of scores by flow.
struct SynflowOptions {
  SynflowStatistics statistics = SynflowStatistics::Initial;  ///< of batch norm
  FlowOf parameters = FlowOf::Absolute;                       ///< of the positive network
  FlowInput input = FlowInput::Ones;                          ///< of the positive network
  int64_t batches = 1;  ///< of FlowInput::MeanSquare, those of the data's beginning
};
/// |v dR/dv| with v in place of every parameter w, R the sum of the outputs, in float64; 0 at
/// removed weights. Throws ValueError where the flow is no finite number, or of squares zero.
/// (synflow.cpp)
std::unique_ptr<Score> synflow_score(const SynflowOptions& options);
/// The trace of the path kernel, the part of the neural tangent kernel that knows no data: the sum
/// over `weights` and over paths through them of (the path's product without the weight)^2, which
/// is the sum of dR/dv of squares for ones. Its share that a mask keeps tells how fast what is left
/// learns. Source: Gebhart, Saxena, Schrater, arXiv 2101.10552. (synflow.cpp)
double path_kernel_trace(nn::Module& model,
                         std::span<const nn::NamedParameter> weights,
                         const Shape& sample);

/// What the loss rises by when a weight goes and its block makes up for it, if one weight after
/// another goes, or each alone (`removal_costs` and `single_costs` of curvature/linalg/surgeon.h).
/// It finds `fisher` at the weights that it scores, for the repair of the same update
/// (`surgeon_repair`). (surgeon.cpp)
std::unique_ptr<Score> surgeon_score(std::shared_ptr<FisherBlocks> fisher,
                                     Removal removal = Removal::InTurn);

/// The same score of batches whose labels the network draws from its own answers
/// (curvature/drawn_labels.h), so that the data's are never looked at. (by_drawn_labels.cpp)
std::unique_ptr<Score> by_drawn_labels(std::unique_ptr<Score> score);

/// Batch `index` of the context's data. Throws ValueError when there is none.
data::Batch scoring_batch(const ScoreContext& context, int64_t index);

/// G = dL/d(m*w) of the mean loss over a batch (the dense gradient), float64, one tensor per weight
/// of the context in its shape: also at removed positions.
std::vector<Tensor> dense_gradients(const ScoreContext& context,
                                    const data::Batch& batch,
                                    ScoringMode mode);

}  // namespace espalier::prune
