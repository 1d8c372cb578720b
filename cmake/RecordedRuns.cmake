# cmake -D TABLES="FILE.csv;.." -D OUT=FILE.cpp -P RecordedRuns.cmake: tables of recorded runs as a source file, so that
# the command that quotes them needs no file.
set(cases "")
foreach(table ${TABLES})
  get_filename_component(name ${table} NAME_WE)
  file(READ ${table} text)
  string(APPEND cases "  if (name == \"${name}\") return R\"csv(${text})csv\";\n")
endforeach()
file(WRITE ${OUT} "// Written by cmake/RecordedRuns.cmake from the tables of espalier/experiments/results. Don't edit.
#include <espalier/core/error.h>
#include <espalier/experiments/advise/recorded.h>

namespace espalier::experiments::advise {

std::string_view recorded_csv(std::string_view name) {
${cases}  throw ValueError(cat(\"advise: no recorded table '\", name, \"'\"));
}

}  // namespace espalier::experiments::advise
")
