// SPDX-License-Identifier: Apache-2.0
/// Where forms may be: every product of a network with a weight, and its residual blocks.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <espalier/nn/forms/block_form.h>
#include <espalier/nn/forms/form.h>
#include <espalier/nn/forms/scaling_form.h>

namespace espalier::nn {

/// One product of a layer with a weight.
struct FormSlot {
  std::string weight;                     ///< the parameter's name in the layer
  Parameter* parameter = nullptr;         ///< in the layer
  std::shared_ptr<Form>* form = nullptr;  ///< in the layer; what it points to may be null
  /// The layer asks for `Form::product`; else for the effective weight alone, which it reads
  /// several times or in its own way.
  bool whole = false;
  int64_t groups = 1;  ///< of a convolution
};

/// A layer with such products: derive from it beside Module.
class Formed {
 public:
  virtual ~Formed() = default;
  /// In the order of the parameters.
  virtual std::vector<FormSlot> form_slots() = 0;
};

/// A slot with its names in the model.
struct FormSite {
  std::string layer;         ///< dotted
  std::string weight;        ///< dotted, the parameter's name
  Module* module = nullptr;  ///< the layer
  FormSlot slot;             ///< in it

  /// The form; null for none.
  Form* form() const { return slot.form->get(); }
  /// Its place in descriptions: the layer, or the parameter where the layer has several.
  const std::string& name() const { return slot.weight == "weight" ? layer : weight; }
  /// Puts a form there. Throws ValueError when there is one, NotImplemented when the layer can't
  /// have it.
  void set(std::shared_ptr<Form> form) const;
};
/// All of a model, in the order of its modules.
std::vector<FormSite> form_sites(Module& model);
/// The site of a parameter. Throws ValueError when it has none.
FormSite form_site(Module& model, const std::string& weight);
/// Puts a form on the site of a parameter, and on those of other layers that have the same weight.
/// Throws as `form_site` and `FormSite::set`.
void put_form(Module& model, const std::string& weight, const std::shared_ptr<Form>& form);

/// What stands in the place of a stored weight.
struct WeightFactors {
  Form* form = nullptr;  ///< with `has_factors()`
  int64_t numbers = 0;   ///< in all of its parameters
};
/// By stored weight under a form with factors.
std::map<const Parameter*, WeightFactors> weight_factors(Module& model);

/// A residual block with its name.
struct BlockSite {
  std::string name;              ///< dotted
  Module* module = nullptr;      ///< the block
  FormedBlock* block = nullptr;  ///< the same
};
/// All of a model, in the order of its modules.
std::vector<BlockSite> block_sites(Module& model);

/// True when a layer or block has any.
bool has_forms(Module& model);
/// Whose zeros are the mask of a folded weight.
enum class FoldedMask : uint8_t {
  OfForm,   ///< what the form left out is masked
  OfWeight  ///< the mask, or none, that the weight had; zeros that the form made are values
};
/// Folds all forms of layers into the weights and takes them off; a weight of several layers once.
/// Throws NotImplemented, before anything is changed, when one can't be folded.
void fold_forms(Module& model);
/// The same at these sites, all of which have forms. Optimizers that have parameters of theirs
/// must forget them (`Optimizer::forget_missing`).
void fold_forms(const std::vector<FormSite>& sites, FoldedMask mask);
/// Takes off all forms that have parameters or buffers of which a saved state dict knows none: they
/// were folded before it was saved. Before that state is loaded; then as after folding.
void take_off_folded(Module& model, const std::map<std::string, Tensor>& state);

/// By stored weight under a form that leaves entries out: those that layers multiply with in
/// evaluation.
std::map<const Parameter*, std::shared_ptr<const sparse::Support>> supports_under_forms(
    Module& model);

}  // namespace espalier::nn
