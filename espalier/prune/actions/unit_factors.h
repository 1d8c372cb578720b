// SPDX-License-Identifier: Apache-2.0
/// Factors on units (nn/forms/factors.h), and numbers of theirs as plain ones.
#pragma once

#include <functional>
#include <vector>

#include <espalier/nn/forms/factors.h>
#include <espalier/prune/scores/form_score.h>
#include <espalier/prune/sites/unit_gates.h>
#include <espalier/prune/timeline/timeline.h>

namespace espalier::prune {

/// Puts factors on all units that may go: on weights, on filters, or of channels on the weights
/// that read them, behind batch norm. `begin` is called for the first form of each bank, with what
/// the bank is.
void put_factors(
    const Subject& subject,
    int64_t memories,
    const std::function<void(nn::Factors&, const GateBanks&, size_t bank)>& begin = {});

/// The factors of a form that is the first of its bank; null for others.
nn::Factors* first_factors(nn::Form& form);

/// d loss / d factors; zeros where nothing came.
std::vector<double> gradient_of(const nn::Factors& factors);

/// Copies numbers into a tensor of any floating type.
void assign(Tensor& to, const std::vector<double>& numbers);

/// What of a factor counts.
enum class OfFactors : uint8_t { Value, Size };
/// The score of learnt factors: what each unit is multiplied with, with its sign or without.
std::unique_ptr<Score> factor_score(std::shared_ptr<const FormsByWeight> forms, OfFactors counts);

}  // namespace espalier::prune
