# `cmake --install`, find_package(Espalier), pkg-config and the two Debian packages of `./dev package`:
# `espalier` (the command) and `libespalier-dev` (static libraries and headers).
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(folders core data sparse autograd nn prune)
set(config_dir ${CMAKE_INSTALL_LIBDIR}/cmake/espalier)

install(TARGETS espalier_command RUNTIME COMPONENT command)
# The manual page, which the command prints from what its verbs declare.
install(CODE "execute_process(COMMAND \"$<TARGET_FILE:espalier_command>\" man
                              OUTPUT_FILE \"${CMAKE_BINARY_DIR}/espalier.1\" COMMAND_ERROR_IS_FATAL ANY)"
        COMPONENT command)
install(FILES ${CMAKE_BINARY_DIR}/espalier.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT command)
install(DIRECTORY espalier/experiments/configs DESTINATION ${CMAKE_INSTALL_DATADIR}/espalier COMPONENT command)

set(libraries ${folders})
list(TRANSFORM libraries PREPEND espalier_)
set_target_properties(espalier_c PROPERTIES EXPORT_NAME c)
install(TARGETS ${libraries} espalier_c espalier espalier_plugin EXPORT espalier ARCHIVE COMPONENT library
        INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES espalier/espalier.h espalier/espalier_c.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/espalier
        COMPONENT library)
foreach(folder ${folders})
  install(DIRECTORY espalier/${folder} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/espalier COMPONENT library
          FILES_MATCHING PATTERN *.h PATTERN *.inc
          PATTERN tests EXCLUDE PATTERN bench EXCLUDE PATTERN fuzz EXCLUDE PATTERN detail EXCLUDE
          PATTERN README.md EXCLUDE)
endforeach()
# Not an interface, but seen in the headers of convolution layers.
install(FILES espalier/nn/layers/detail/grouped_channels.h COMPONENT library
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/espalier/nn/layers/detail)

# One file for both spellings: find_package(Espalier) and find_package(espalier) look for this name.
install(EXPORT espalier NAMESPACE espalier:: FILE espalier-targets.cmake DESTINATION ${config_dir}
        COMPONENT library)
configure_package_config_file(
  cmake/espalier-config.cmake.in espalier-config.cmake INSTALL_DESTINATION ${config_dir}
  NO_SET_AND_CHECK_MACRO)
# Before 1.0 a new minor version may change names.
write_basic_package_version_file(espalier-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/espalier-config.cmake
              ${CMAKE_BINARY_DIR}/espalier-config-version.cmake
        DESTINATION ${config_dir} COMPONENT library)

# The prefix relative to the file itself, so that an install tree can be moved.
file(RELATIVE_PATH prefix_from_pc /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" prefix_from_pc "${prefix_from_pc}")
configure_file(cmake/espalier.pc.in espalier.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/espalier.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
        COMPONENT library)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME copyright COMPONENT command)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/libespalier-dev RENAME copyright
        COMPONENT library)
install(FILES NOTICE DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT command)
install(FILES NOTICE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/libespalier-dev COMPONENT library)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME espalier)
set(CPACK_PACKAGE_CONTACT "Espalier developers <espalier@example.org>")
set(CPACK_PACKAGE_DIRECTORY ${CMAKE_SOURCE_DIR}/build/package)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_COMMAND_PACKAGE_NAME espalier)
set(CPACK_DEBIAN_COMMAND_PACKAGE_SHLIBDEPS ON)
set(CPACK_COMPONENT_COMMAND_DESCRIPTION
    "Trains, prunes, measures and compares neural networks\n The command of Espalier, a deep-learning framework in which sparsity is part of every layer.")
set(CPACK_DEBIAN_LIBRARY_PACKAGE_NAME libespalier-dev)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_DEPENDS
    "libtbb-dev, libhwy-dev, libopenblas-dev, libfmt-dev, libmatio-dev, libcurl4-openssl-dev, libarchive-dev, zlib1g-dev, libjpeg62-turbo-dev, libpng-dev, libwebp-dev, pkg-config")
set(CPACK_COMPONENT_LIBRARY_DESCRIPTION
    "Deep learning with pruning at its heart: C++20 library\n Static libraries and headers of Espalier, for find_package(Espalier) and pkg-config.")
include(CPack)

if(ESPALIER_BUILD_TESTS AND NOT ESPALIER_SANITIZE)
  add_test(NAME install COMMAND ${CMAKE_SOURCE_DIR}/tools/check_install.sh ${CMAKE_BINARY_DIR})
endif()
