// SPDX-License-Identifier: Apache-2.0
/// The model zoo by name, and networks as files that rebuild themselves. Each family has a file of
/// its own beside this one; the list is in registry.cpp.
#pragma once

#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <espalier/nn/models/options.h>
#include <espalier/nn/module/module.h>

namespace espalier::nn {

/// What a model is fed.
enum class InputKind : uint8_t {
  Images,  ///< (N,C,H,W) float32
  Tokens,  ///< (N,T) int64; the output is (N,T,num_classes)
};

/// A line of the zoo.
struct ModelInfo {
  std::string name;                     ///< `resnet20`
  std::string title;                    ///< one line: what it is, with its source
  InputKind input = InputKind::Images;  ///< what it is fed
  bool widths = false;                  ///< whether ModelOptions::width changes it
  bool shortcuts = false;               ///< whether ModelOptions::shortcut changes it
  bool stems = false;                   ///< whether ModelOptions::stem changes it
};

/// Makes a model without initial values, which follow from ModelOptions::seed.
using ModelMaker = std::function<std::unique_ptr<Module>(const ModelOptions&)>;

/// Adds a model of a program's own, before threads are started: from then on `make_model`, saved
/// files and the command know it. Throws ValueError for a name that is empty or taken.
void register_model(ModelInfo info, ModelMaker make);

/// All named models, in the order of the zoo, then those that programs registered, which leave
/// references to the others valid. Besides these,
/// `wrn-D-K` and `densenet-bc-L-K` are known for every depth that fits their blocks.
const std::deque<ModelInfo>& model_list();

/// A freshly initialized model. Names ignore case, `-` and `_`: `ResNet-20` is `resnet20`; `-bn` of
/// VGG may be left out. Throws ValueError for an unknown name (listing the known ones and the
/// nearest), an image that is too small for the model, a width that is not positive.
std::unique_ptr<Module> make_model(std::string_view name, const ModelOptions& options = {});

/// The listed name that `name` means. Throws ValueError as make_model.
std::string canonical_model_name(std::string_view name);
/// What `name` is fed.
InputKind model_input(std::string_view name);

/// Whether `ModelOptions::width` changes a named model. Throws ValueError for an unknown name.
bool model_has_widths(std::string_view name);
/// Whether `ModelOptions::shortcut` does. Throws ValueError for an unknown name.
bool model_has_shortcuts(std::string_view name);
/// Whether `ModelOptions::stem` does. Throws ValueError for an unknown name.
bool model_has_stems(std::string_view name);

/// A zero input of `batch` samples for a model: images or tokens, plain layout.
Variable example_input(std::string_view name, const ModelOptions& options, int64_t batch = 1);

/// A network with all that is needed to build it again.
struct SavedModel {
  std::string name;                ///< as `make_model` knows it
  ModelOptions options;            ///< as given to `make_model`
  std::unique_ptr<Module> module;  ///< the network
};

/// All that is needed to build `module` again but its tensors: name, options and the sizes of every
/// layer, as JSON. `module` was built by `make_model(name, options)` and possibly shrunk since.
std::string describe_model(std::string_view name, const ModelOptions& options, Module& module);
/// A network with unspecified values from such a text. Throws IoError naming `where` for a bad one.
SavedModel model_of_description(const std::string& description, const std::string& where);

/// Writes values, masks and buffers of `module`, built by `make_model(name, options)` and possibly
/// shrunk since, with its description as metadata `architecture`. PyTorch reads the tensors under
/// their usual names. Throws IoError, and ValueError for values that are not finite.
void save_model(const std::filesystem::path& path,
                std::string_view name,
                const ModelOptions& options,
                Module& module);

/// Rebuilds what `save_model` wrote, shrunk or not, without being told what it is. Throws IoError
/// for a file without or with a bad description, ValueError when tensors and description don't fit.
SavedModel load_model(const std::filesystem::path& path);

}  // namespace espalier::nn
