// SPDX-License-Identifier: Apache-2.0
/// The kinds of parts that can be put on layers and blocks, and networks' parts as text: what a
/// saved network needs to have its forms again before its values are loaded.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <espalier/nn/forms/slots.h>

namespace espalier::nn {

/// Where a part is to be put.
struct PartPlace {
  std::string name;                ///< of the layer or block, for errors
  const FormSite* site = nullptr;  ///< a layer's product; null: a block
};

/// One kind.
struct PartKind {
  std::string name;  ///< `Attached::kind()`
  /// An equal part for a place, with values still to be loaded. Throws ValueError for a description
  /// that does not fit.
  std::function<std::shared_ptr<Attached>(const PartPlace&, const PartDescription&)> make;
};

/// The kind of a name: of kinds.inc or registered. Throws ValueError naming those that there are.
const PartKind& part_kind(const std::string& name);
/// Makes a kind of a program's own known to `restore_forms`. Not thread-safe. Throws ValueError for
/// a name that is taken.
void register_part_kind(PartKind kind);

/// All forms of a model as JSON text, by layer or block: `kind`, `settings` and words such as
/// `norm`, the batch norm that a form goes on in. Empty without forms.
std::string describe_forms(Module& model);
/// Puts forms on, as described, with values still to be loaded. Throws ValueError for a description
/// that does not fit.
void restore_forms(Module& model, const std::string& description);

}  // namespace espalier::nn
