// SPDX-License-Identifier: Apache-2.0
/// The kernel chooser: whether a layer with a support runs a sparse kernel or the dense one, and
/// why. By a rule that was measured once (the default: the same choice, and so the same bits, on
/// every machine), or by measuring here, once per shape and density, kept in a file.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include <espalier/core/kernels/conv2d/conv2d.h>
#include <espalier/sparse/choice/measure.h>
#include <espalier/sparse/support.h>

namespace espalier::sparse {

/// Which kernel, and why.
struct KernelChoice {
  bool sparse = false;                    ///< else dense
  std::string reason;                     ///< one sentence, which begins with the form
  std::optional<KernelTimes> times = {};  ///< when the choice was measured
};

/// How this process chooses.
struct ChooserOptions {
  bool measure = false;  ///< by measuring; else by the rule
  /// Of measured times: read when it exists, extended with every new one, so that a run continued
  /// with it chooses as before, on any number of threads. Empty: remembered by this process only.
  std::filesystem::path file = {};
  /// A layer with removed weights that would run densely is an error (ValueError).
  bool require_sparse = false;
};
/// Throws IoError for a file that exists and is not one of ours.
void set_chooser_options(const ChooserOptions& options);
/// As set last.
const ChooserOptions& chooser_options();

/// The choice for a convolution (a linear layer: planes of one position). Sparse kernels exist for
/// float32 in `Nchw16n`, one group, strides 1 and 2. May measure; throws IoError when the file
/// cannot be written.
KernelChoice choose_conv2d(
    const Conv2dShape& shape, DType dtype, Layout layout, const Support& support, Pass pass);

/// What `require_sparse` asks, and the only place that asks it: throws ValueError that begins with
/// `what` and ends with the choice's reason when the option is set, `support` removes weights and
/// they would be multiplied densely. Never in a DryRunScope.
void check_fallback(const KernelChoice& choice, const Support& support, std::string_view what);

/// While it lives, what this thread computes is looked at and not used (traces): layers may run
/// densely there, whatever `require_sparse` says.
class DryRunScope {
 public:
  /// From here on.
  DryRunScope();
  ~DryRunScope();
  DryRunScope(const DryRunScope&) = delete;
  DryRunScope& operator=(const DryRunScope&) = delete;

 private:
  bool outer_;
};

/// The same choice as a yes or no, for ops. Throws ValueError naming `op`, the shape and the reason
/// as `check_fallback` does.
bool takes_sparse_conv2d(const Conv2dShape& shape,
                         DType dtype,
                         Layout layout,
                         const Support& support,
                         Pass pass,
                         std::string_view op);

}  // namespace espalier::sparse
