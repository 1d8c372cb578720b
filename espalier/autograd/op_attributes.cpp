// SPDX-License-Identifier: Apache-2.0
#include <espalier/autograd/op_attributes.h>

#include <espalier/core/error.h>

namespace espalier {

template <class T>
const T& OpAttributes::get(std::string_view name) const {
  const auto found = named_.find(name);
  ESPALIER_CHECK(found != named_.end(), ValueError, "op: has no attribute '", name, "'");
  const T* value = std::get_if<T>(&found->second);
  ESPALIER_CHECK(value != nullptr, ValueError, "op: attribute '", name, "' is of another kind");
  return *value;
}

int64_t OpAttributes::integer(std::string_view name) const {
  return get<int64_t>(name);
}

double OpAttributes::number(std::string_view name) const {
  return get<double>(name);
}

const std::vector<int64_t>& OpAttributes::integers(std::string_view name) const {
  return get<std::vector<int64_t>>(name);
}

Pair OpAttributes::pair(std::string_view name) const {
  const std::vector<int64_t>& both = integers(name);
  ESPALIER_CHECK(
      both.size() == 2, ValueError, "op: attribute '", name, "' has ", both.size(), " numbers");
  return {both[0], both[1]};
}

}  // namespace espalier
