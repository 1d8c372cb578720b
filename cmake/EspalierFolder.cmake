# espalier_folder(NAME [USES folder...] [LINK library...] [HEADERS library...] [PRECOMPILE header...] [JOIN folder...]
#   [SHARDS number])
#
# One static library from all sources of espalier/NAME, a test program from NAME/tests and a
# benchmark program from NAME/bench, where these exist. LINK names what its users must link too;
# HEADERS what only its sources include, so that an installed library does not ask for it; PRECOMPILE headers that
# (nearly) all of its sources include, besides those of the standard library; JOIN folders of many short files that
# are alike, which are compiled eight at a time: what they instantiate of the standard library is the same; SHARDS in
# how many parts ctest runs the tests, so that several processors have work to the end.
#
# Reading headers was half of the time of a build. Presets of the sanitizers, of clang and of lint do without both,
# so that a source that forgets an include is found.
set(ESPALIER_PRECOMPILE <algorithm> <array> <cmath> <cstdint> <functional> <map> <memory> <optional> <set> <string>
    <string_view> <utility> <vector>)

function(espalier_options target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -fno-math-errno)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(${target} PRIVATE -fpch-preprocess)  # ccache wants to know of precompiled headers
  endif()
  target_include_directories(${target} PUBLIC $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}>)
  if(ESPALIER_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
  if(CMAKE_BUILD_TYPE STREQUAL "Debug" OR ESPALIER_SANITIZE)
    target_compile_definitions(${target} PUBLIC ESPALIER_DCHECKS)
  endif()
  if(ESPALIER_SANITIZE)
    target_compile_options(${target} PUBLIC -fsanitize=${ESPALIER_SANITIZE} -fno-omit-frame-pointer -g1)
    target_link_options(${target} PUBLIC -fsanitize=${ESPALIER_SANITIZE})
  endif()
endfunction()

function(espalier_folder name)
  set(folder ${CMAKE_SOURCE_DIR}/espalier/${name})
  cmake_parse_arguments(arg "" "SHARDS" "USES;LINK;HEADERS;PRECOMPILE;JOIN" ${ARGN})
  set(headers ${arg_HEADERS})
  list(TRANSFORM headers PREPEND "$<BUILD_INTERFACE:")
  list(TRANSFORM headers APPEND ">")
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${folder}/*.cpp)
  list(FILTER sources EXCLUDE REGEX "/${name}/(.*/)?(tests|bench|fuzz|app)/")
  # Loops over elements: kernels, steps of plans, the ops of autograd, and linear algebra. Without -O3 gcc 12 leaves
  # loops whose length it does not know to scalars. They are a target of their own, since a precompiled header brings
  # its own options along and a source's lose against them.
  set(kernels ${sources})
  list(FILTER kernels INCLUDE REGEX "/espalier/${name}/(ops|(.*/)?(kernels|planes|linalg))/")
  # Formulas that give the same bits on every instruction set: no compiler joins product and sum.
  file(GLOB exact CONFIGURE_DEPENDS ${folder}/kernels/vector_math.cpp)
  if(exact)
    set_source_files_properties(
      ${exact} PROPERTIES COMPILE_OPTIONS -ffp-contract=off SKIP_PRECOMPILE_HEADERS ON)
  endif()
  list(REMOVE_ITEM sources ${kernels} "")
  add_library(espalier_${name} STATIC ${sources})
  espalier_options(espalier_${name})
  set(uses ${arg_USES})
  list(TRANSFORM uses PREPEND espalier_)
  target_compile_features(espalier_${name} PUBLIC cxx_std_20)  # its headers ask for it
  target_link_libraries(espalier_${name} PUBLIC ${uses} Threads::Threads PRIVATE ${arg_LINK} ${headers})
  target_precompile_headers(espalier_${name} PRIVATE ${ESPALIER_PRECOMPILE} ${arg_PRECOMPILE})
  set_target_properties(espalier_${name} PROPERTIES EXPORT_NAME ${name})
  if(kernels)
    add_library(espalier_${name}_kernels OBJECT ${kernels})
    espalier_options(espalier_${name}_kernels)
    if(NOT ESPALIER_SANITIZE)
      target_compile_options(espalier_${name}_kernels PRIVATE -O3)
    endif()
    target_link_libraries(espalier_${name}_kernels PRIVATE ${uses} Threads::Threads ${arg_LINK} ${headers})
    target_precompile_headers(espalier_${name}_kernels PRIVATE ${ESPALIER_PRECOMPILE} ${arg_PRECOMPILE})
    target_sources(espalier_${name} PRIVATE $<TARGET_OBJECTS:espalier_${name}_kernels>)
  endif()

  if(ESPALIER_JOIN AND arg_JOIN)
    foreach(target espalier_${name} espalier_${name}_kernels)
      if(TARGET ${target})
        set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
      endif()
    endforeach()
    foreach(part ${arg_JOIN})
      set(index 0)
      set(joined ${sources} ${kernels})
      list(FILTER joined INCLUDE REGEX "^${folder}/${part}/[^/]*[.]cpp$")
      foreach(source ${joined})
        math(EXPR group "${index} / 8")
        math(EXPR index "${index} + 1")
        set_source_files_properties(${source} PROPERTIES UNITY_GROUP ${part}_${group})
      endforeach()
    endforeach()
  endif()

  file(GLOB tests CONFIGURE_DEPENDS ${folder}/tests/*.cpp)
  if(ESPALIER_BUILD_TESTS AND tests)
    add_executable(${name}_tests ${tests})
    espalier_options(${name}_tests)
    # A test runs its own lines once: what they take to compile is what counts.
    if(CMAKE_BUILD_TYPE STREQUAL "Release")
      target_compile_options(${name}_tests PRIVATE -O1)
      if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")  # gcc 12 inlines half of what these look at
        target_compile_options(${name}_tests PRIVATE -Wno-array-bounds -Wno-mismatched-new-delete)
      endif()
    endif()
    target_link_libraries(
      ${name}_tests PRIVATE espalier_${name} ${arg_LINK} ${headers} GTest::gtest GTest::gtest_main)
    target_precompile_headers(${name}_tests PRIVATE ${ESPALIER_PRECOMPILE} ${arg_PRECOMPILE} <gtest/gtest.h>)
    if(arg_SHARDS)
      foreach(shard RANGE 1 ${arg_SHARDS})
        math(EXPR index "${shard} - 1")
        add_test(NAME ${name}_${shard} COMMAND ${name}_tests --gtest_brief=1)
        set_tests_properties(${name}_${shard} PROPERTIES
          ENVIRONMENT "GTEST_TOTAL_SHARDS=${arg_SHARDS};GTEST_SHARD_INDEX=${index}" COST 1000)
      endforeach()
    else()
      add_test(NAME ${name} COMMAND ${name}_tests --gtest_brief=1)
    endif()
  endif()
  # Tests that compare with numbers of PyTorch find them in the source tree: those that ask where.
  foreach(test ${tests})
    file(STRINGS ${test} asks REGEX "ESPALIER_ORACLES")
    if(asks)
      set_source_files_properties(${test} PROPERTIES COMPILE_DEFINITIONS
        "ESPALIER_ORACLES=\"${folder}/tests/oracles\"")
    endif()
  endforeach()
  # Tests that compare a README's table with the code find it there.
  file(GLOB readmes CONFIGURE_DEPENDS ${folder}/tests/*readme_test.cpp)
  if(readmes)
    set_source_files_properties(${readmes} PROPERTIES COMPILE_DEFINITIONS
      "ESPALIER_README=\"${folder}/README.md\"")
  endif()
  file(GLOB benches CONFIGURE_DEPENDS ${folder}/bench/*.cpp)
  if(ESPALIER_BUILD_BENCH AND benches)
    add_executable(${name}_bench ${benches})
    espalier_options(${name}_bench)
    target_link_libraries(
      ${name}_bench PRIVATE espalier_${name} benchmark::benchmark benchmark::benchmark_main)
  endif()
endfunction()
