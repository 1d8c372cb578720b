// SPDX-License-Identifier: Apache-2.0
/// The score that forms have learnt (nn/forms): gates, thresholds, scores of weights. Reads the
/// forms that were on the weights, after they are folded.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include <espalier/nn/forms/form.h>
#include <espalier/prune/scores/score.h>

namespace espalier::prune {

/// Forms by the name of the weight that they were on.
using FormsByWeight = std::map<std::string, std::shared_ptr<nn::Form>>;
/// What a form says of every entry of its weight: floating, in the weight's shape; higher stays.
using FormValues = std::function<Tensor(const nn::Form& form, const Shape& weight)>;

/// Of a unit the largest value that a form says of the entries which its gate multiplies
/// (sites/unit_gates.h); 0 where there is no form. Throws NotImplemented when there is none at all.
std::unique_ptr<Score> form_score(std::shared_ptr<const FormsByWeight> forms, FormValues values);

}  // namespace espalier::prune
