// SPDX-License-Identifier: Apache-2.0
/// What a method file includes: the parts of the composition, and the declarations of all methods.
#pragma once

#include <espalier/prune/allocations/allocation.h>
#include <espalier/prune/recovery/recovery.h>
#include <espalier/prune/registry.h>
#include <espalier/prune/regrowth/regrowth.h>
#include <espalier/prune/schedules/schedule.h>
#include <espalier/prune/scores/score.h>

namespace espalier::prune::method_list {

#define ESPALIER_METHOD(name) Method name();
#include <espalier/prune/methods.inc>
#undef ESPALIER_METHOD

}  // namespace espalier::prune::method_list
