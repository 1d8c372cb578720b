// SPDX-License-Identifier: Apache-2.0
/// Networks of the zoo without initial weights, for whoever counts them: of large ones the weights
/// take seconds.
#pragma once

#include <memory>
#include <string_view>

#include <espalier/nn/models/options.h>
#include <espalier/nn/module/module.h>

namespace espalier::nn {

/// What `make_model` makes, with unspecified values. Throws as it does.
std::unique_ptr<Module> make_model_to_count(std::string_view name,
                                            const ModelOptions& options = {});

}  // namespace espalier::nn
