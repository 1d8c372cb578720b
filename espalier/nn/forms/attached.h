// SPDX-License-Identifier: Apache-2.0
/// Attached: a part that is put on a layer or block after it was made, and told in files by its
/// kind and a few numbers, from which it can be made again (kinds.h). Its parameters are the
/// network's: put it on before the optimizer is made.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include <espalier/nn/module/module.h>

namespace espalier::nn {

/// What, besides the sizes of its place, makes an equal part.
struct PartDescription {
  std::string kind;                               ///< as in nn/forms/kinds.inc
  std::map<std::string, double> settings = {};    ///< numbers by name
  std::map<std::string, std::string> words = {};  ///< names by name (a gate's decision)

  /// The setting of this name. Throws ValueError when there is none or it is not in least .. most.
  double number(const std::string& name, double least, double most) const;
  /// The same for a whole number.
  int64_t whole(const std::string& name, int64_t least, int64_t most) const;
  /// The word of this name, or `otherwise`.
  std::string word(const std::string& name, const std::string& otherwise) const;
};

/// See above.
class Attached : public Module {
 public:
  /// As in nn/forms/kinds.inc.
  virtual std::string kind() const = 0;
  /// Numbers by name.
  virtual std::map<std::string, double> settings() const { return {}; }
  /// Names by name.
  virtual std::map<std::string, std::string> words() const { return {}; }
  /// Its name in the layer: `conv1.form.scores`.
  virtual std::string_view member() const { return "form"; }
  /// Takes the parameters of an equal part of another layer for its own. Throws ValueError for a
  /// part that can't.
  virtual void share(Attached& first);
  /// False when it goes with a layer of any size, and stays when the layer's channels are removed.
  virtual bool has_sizes() const { return true; }
};

}  // namespace espalier::nn
