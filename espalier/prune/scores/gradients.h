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

/// |w dL/dw| of one batch. (snip.cpp)
std::unique_ptr<Score> snip_score(ScoringMode mode);

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
/// |w dR/dw| of the network of absolute values, in float64; 0 at removed weights. (synflow.cpp)
std::unique_ptr<Score> synflow_score(SynflowStatistics statistics);

/// What the loss rises by when a weight goes and its block makes up for it, if one weight after
/// another goes, or each alone (`removal_costs` and `single_costs` of curvature/linalg/surgeon.h).
/// It finds `fisher` at the weights that it scores, for the repair of the same update
/// (`surgeon_repair`). (surgeon.cpp)
std::unique_ptr<Score> surgeon_score(std::shared_ptr<FisherBlocks> fisher,
                                     Removal removal = Removal::InTurn);

/// Batch `index` of the context's data. Throws ValueError when there is none.
data::Batch scoring_batch(const ScoreContext& context, int64_t index);

/// G = dL/d(m*w) of the mean loss over a batch (the dense gradient), float64, one tensor per weight
/// of the context in its shape: also at removed positions.
std::vector<Tensor> dense_gradients(const ScoreContext& context,
                                    const data::Batch& batch,
                                    ScoringMode mode);

}  // namespace espalier::prune
