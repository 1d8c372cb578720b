// SPDX-License-Identifier: Apache-2.0
/// What an experiment is: a question of the survey as a list of planned runs, and the sentences
/// that their results are held against. Nothing here trains; runner.h does.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace espalier::experiments::comparisons {

struct RunRow;

/// How large an experiment is. Smoke: seconds, on the embedded digits, to see that it works. Quick:
/// narrow networks on a part of CIFAR-10. Paper: the full networks, data and epochs.
enum class Preset : uint8_t { Smoke, Quick, Paper };
/// `smoke`, `quick`, `paper`.
std::string name(Preset preset);
/// Throws ValueError for another text.
Preset parse_preset(const std::string& text);

/// What all comparisons of a preset share.
struct Scale {
  Preset preset = Preset::Smoke;
  std::string data;        ///< `cifar10`; with `#N` behind it, `data-seed` N: `synth#1`
  std::string other_data;  ///< a second data set with images of the same shape
  std::map<std::string, std::string> settings;  ///< of `train`, for every run
  /// Of `train`, for the runs of one network, in place of `settings`.
  std::map<std::string, std::map<std::string, std::string>> of_model = {};
  std::vector<int64_t> seeds;
};
/// The scale of a preset, with the second data set that needs no file.
Scale scale_of(Preset preset);

/// One run of the grid: what `train` is asked for, and under which names its result is compared.
struct PlannedRun {
  std::string model;
  std::string data;  ///< as in Scale
  std::string method = "dense";
  std::string variant = {};  ///< the side of the comparison: `structured`; may be empty
  double sparsity = 0.0;
  int64_t seed = 0;
  std::map<std::string, std::string> settings = {};  ///< of `train`
  std::map<std::string, std::string> pruning = {};   ///< options of the pruning method
  std::optional<size_t> weights_of = {};  ///< starts from the network of this earlier run
  std::optional<size_t> mask_of = {};     ///< trains with the masks of this earlier run
  bool compared = true;                   ///< false: only there for others to start from

  /// `vgg16 cifar10 snip structured 0.9 seed 1`.
  std::string title() const;
};

/// Network, data and seed of a run.
struct Where {
  std::string model;
  std::string data;
  int64_t seed = 0;
};

/// The runs of an experiment at one scale, in the order in which they are made. Runs with equal
/// settings share one folder, in this and in all other experiments.
class Plan {
 public:
  explicit Plan(Scale scale) : scale_(std::move(scale)) {}

  const Scale& scale() const { return scale_; }
  const std::vector<PlannedRun>& runs() const { return runs_; }
  /// The sparsities of the preset: of `quick` all, in smoke the first; of `paper` all.
  std::vector<double> sparsities(const std::vector<double>& quick,
                                 const std::vector<double>& paper) const;
  /// Rounds of an iterative method as text: at most 5 in smoke.
  std::string rounds(int64_t count) const;

  /// Adds the run and returns its index; a run that is there already is not added again. Throws
  /// ValueError for a `weights_of` or `mask_of` that is not an earlier run.
  size_t add(PlannedRun run);
  /// The dense training at `where`.
  size_t dense(const Where& where);

  /// A run with the settings of the scale, nothing pruned yet.
  PlannedRun run(const Where& where) const;
  /// Pruned from the start of training. `options` are those of the method. Layers may collapse: the
  /// result tells how many did.
  PlannedRun pruned(const Where& where,
                    const std::string& method,
                    double sparsity,
                    std::map<std::string, std::string> options = {}) const;
  /// The dense training at `where`, pruned, then fine-tuned for as many epochs at a fifth of the
  /// learning rate.
  PlannedRun fine_tuned(const Where& where,
                        const std::string& method,
                        double sparsity,
                        std::map<std::string, std::string> options = {});
  /// The dense training at `where`, trained on as `fine_tuned` does, with nothing pruned.
  PlannedRun trained_on(const Where& where);

 private:
  Scale scale_;
  std::vector<PlannedRun> runs_;
};

/// A sentence of the survey that figures can speak for or against.
struct Claim {
  enum class Kind : uint8_t {
    Higher,           ///< the accuracy of one side is higher than that of the other
    NotAlwaysHigher,  ///< it is not everywhere higher
    CanBeHigher,      ///< it is higher somewhere
  };
  std::string sentence;  ///< what the survey, or the source, says, in our words
  Kind kind = Kind::Higher;
  std::string column;               ///< `method`, `variant` or `data`: what tells the sides apart
  std::vector<std::string> higher;  ///< values of the column that make one side
  std::vector<std::string> lower;   ///< and the other
  /// Columns in which both sides agree: model, data, method, variant, sparsity.
  std::vector<std::string> within;
  std::string source = "The survey";  ///< who says so
};

/// One comparison of the survey, or a table of methods or patterns.
struct Experiment {
  std::string name;              ///< as typed: `one-shot-iterative`
  std::string title;             ///< `One-shot against iterative pruning`
  std::string section;           ///< where the survey has it, or what it belongs to there
  std::string what;              ///< what is run, and how it differs from the survey's setting
  std::string unavailable = {};  ///< why it can't run yet; empty when it can
  std::function<void(Plan&)> plan = {};  ///< adds the runs
  std::vector<Claim> claims = {};
  /// Second data sets of quick and paper: the first one whose files are there, else SynthDigits.
  std::vector<std::string> second_data = {"svhn"};
  bool accuracies = true;  ///< false: networks are not trained after pruning
  bool layers = false;     ///< the page shows the density of every layer
  bool speeds = false;     ///< inference is timed beside the dense network's, removed channels cut
  /// Of `train` in the preset quick, network by network, in place of the scale's.
  std::map<std::string, std::map<std::string, std::string>> quick = {};
  /// The rows that claims are held against, where these are not the runs as they are.
  std::function<std::vector<RunRow>(const std::vector<RunRow>&)> judged = {};
  /// Further findings as Markdown, of rows that are finished; without a verdict unless `judges`.
  std::function<std::string(const std::vector<RunRow>&, bool judges)> more = {};
};

/// The scale of a preset as the experiment has it on a machine with these data.
Scale scale_of(const Experiment& experiment, Preset preset, const std::filesystem::path& data_root);

/// All experiments, in the order of the survey.
const std::vector<Experiment>& experiments();
/// Throws ValueError with the known names.
const Experiment& experiment(const std::string& name);

}  // namespace espalier::experiments::comparisons
