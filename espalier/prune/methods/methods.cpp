// SPDX-License-Identifier: Apache-2.0
#include <espalier/prune/methods/methods.h>

#include <espalier/prune/drive/registry.h>

namespace espalier::prune::detail {

std::vector<Method> built_in_methods() {
  return {
#define ESPALIER_METHOD(name) method_list::name(),
#include <espalier/prune/methods.inc>
#undef ESPALIER_METHOD
  };
}

}  // namespace espalier::prune::detail
