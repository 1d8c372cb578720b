// SPDX-License-Identifier: Apache-2.0
// The README's table of forms is the list of forms.
#include <gtest/gtest.h>

#include <espalier/core/tests/temporary_folder.h>
#include <espalier/sparse/forms/form.h>

namespace espalier::sparse {
namespace {

using detail::FormLimits;
using detail::KernelForm;

std::string limits(const KernelForm& form, Pass pass) {
  if (!form.has(pass)) return "-";
  const FormLimits& of = pass == Pass::Forward ? form.forward_limits : form.backward_limits;
  return cat(of.direct, ", ", of.small_tiles, ", ", of.large_tiles);
}

TEST(Readme, TheTableOfFormsIsTheList) {
  std::string table = "|---|---|---|---|---|\n";
  for (const KernelForm* form : detail::kernel_forms()) {
    table += cat("| `",
                 form->name,
                 "` | ",
                 form->weights,
                 " | ",
                 limits(*form, Pass::Forward),
                 " | ",
                 limits(*form, Pass::Backward),
                 " | ",
                 form->planes != nullptr ? "yes" : "-",
                 " |\n");
  }
  EXPECT_NE(testing::slurp(ESPALIER_README).find(table + "\n"), std::string::npos)
      << "expects these lines:\n"
      << table;
}

}  // namespace
}  // namespace espalier::sparse
