# Everything konv takes from outside, as imported targets. On Debian 12, tools/setup installs it all.
#
#   always             flatbuffers::flatbuffers (headers), konv::flatc (program), konv::fmt (library or headers),
#                      nlohmann_json::nlohmann_json, Threads::Threads
#   konv::cpuinfo      where found: KONV_HAVE_CPUINFO
#   KONV_WITH_OPENBLAS   konv::openblas
#   KONV_WITH_CONVERTER  konv::onnx (protobuf comes with it), konv::libzip
#   KONV_WITH_TOOLS      CLI11::CLI11, JPEG::JPEG, PNG::PNG
#   KONV_WITH_TESTS      doctest::doctest (headers); doctest_discover_tests()
#
# A port without these libraries switches the options off: libkonv and its tests need headers only, which serve any processor
# (the aarch64 preset).

option(KONV_WITH_OPENBLAS "Offer OpenBLAS as one more GEMM" ON)
option(KONV_WITH_CONVERTER "Build the ONNX and PyTorch converter" ON)
option(KONV_WITH_TOOLS "Build the konv command line and its image decoders" ON)
option(KONV_WITH_TESTS "Build the tests" ON)
set(KONV_CUDA AUTO CACHE STRING "The CUDA plug-in: AUTO = where nvcc is found, ON = required, OFF")
set_property(CACHE KONV_CUDA PROPERTY STRINGS AUTO ON OFF)

# An imported library around a header and a library file; both found by name, no CMake or pkg-config file asked.
function(konv_import_library target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "OPTIONAL" "HEADER;LIBRARY;PACKAGE" "SUFFIXES")
  string(MAKE_C_IDENTIFIER "KONV_${target}" prefix)
  string(TOUPPER "${prefix}" prefix)
  find_path(${prefix}_INCLUDE "${arg_HEADER}" PATH_SUFFIXES ${arg_SUFFIXES})
  find_library(${prefix}_LIBRARY "${arg_LIBRARY}" PATH_SUFFIXES ${arg_SUFFIXES})
  mark_as_advanced(${prefix}_INCLUDE ${prefix}_LIBRARY)
  if(NOT ${prefix}_INCLUDE OR NOT ${prefix}_LIBRARY)
    if(NOT arg_OPTIONAL)
      message(FATAL_ERROR "${target}: ${arg_HEADER} or lib${arg_LIBRARY} not found; expected ${arg_PACKAGE} (run tools/setup)")
    endif()
    return()
  endif()
  add_library(${target} UNKNOWN IMPORTED GLOBAL)
  set_target_properties(${target} PROPERTIES
    IMPORTED_LOCATION "${${prefix}_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${${prefix}_INCLUDE}")
endfunction()

# ccache, where it is there and nobody chose a launcher.
find_program(KONV_CCACHE ccache)
mark_as_advanced(KONV_CCACHE)
if(KONV_CCACHE)
  foreach(language IN ITEMS C CXX CUDA)
    if(NOT DEFINED CMAKE_${language}_COMPILER_LAUNCHER)
      set(CMAKE_${language}_COMPILER_LAUNCHER "${KONV_CCACHE}")
    endif()
  endforeach()
endif()

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

# FlatBuffers: the runtime is headers only; the library behind Debian's target is for parsing schemas, which konv does not do.
find_path(KONV_FLATBUFFERS_INCLUDE flatbuffers/flatbuffers.h)
find_program(KONV_FLATC flatc)
mark_as_advanced(KONV_FLATBUFFERS_INCLUDE KONV_FLATC)
if(NOT KONV_FLATBUFFERS_INCLUDE OR NOT KONV_FLATC)
  message(FATAL_ERROR "FlatBuffers: headers or flatc not found; expected libflatbuffers-dev and flatbuffers-compiler (run tools/setup)")
endif()
if(NOT TARGET flatbuffers::flatbuffers)
  add_library(flatbuffers::flatbuffers INTERFACE IMPORTED GLOBAL)
  set_target_properties(flatbuffers::flatbuffers PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${KONV_FLATBUFFERS_INCLUDE}")
endif()
add_executable(konv::flatc IMPORTED GLOBAL)
set_target_properties(konv::flatc PROPERTIES IMPORTED_LOCATION "${KONV_FLATC}")

# The library, not headers only: they double the time of a build. Where it is missing (a cross build) the headers do.
konv_import_library(konv::fmt OPTIONAL HEADER fmt/format.h LIBRARY fmt PACKAGE libfmt-dev)
if(NOT TARGET konv::fmt)
  find_path(KONV_FMT_INCLUDE fmt/format.h REQUIRED)
  mark_as_advanced(KONV_FMT_INCLUDE)
  add_library(konv::fmt INTERFACE IMPORTED GLOBAL)
  target_compile_definitions(konv::fmt INTERFACE FMT_HEADER_ONLY=1)
endif()
find_package(nlohmann_json REQUIRED)

# Debian's cpuinfo-targets.cmake names a file that is elsewhere; hence by name.
konv_import_library(konv::cpuinfo OPTIONAL HEADER cpuinfo.h LIBRARY cpuinfo PACKAGE libcpuinfo-dev)
set(KONV_HAVE_CPUINFO OFF)
if(TARGET konv::cpuinfo)
  set(KONV_HAVE_CPUINFO ON)
endif()

# OpenBLAS, the serial build: konv owns its threads and sets no other library's. Debian keeps the variants in folders of their
# own, header and library alike, and an alternatives link decides what a plain -lopenblas means; so they are named by folder.
# The library's soname is the one all variants share; CMake writes the folder into the build's RPATH, and an installed libkonv
# needs INSTALL_RPATH_USE_LINK_PATH for the same reason.
if(KONV_WITH_OPENBLAS)
  konv_import_library(konv::openblas HEADER cblas.h LIBRARY openblas PACKAGE libopenblas-serial-dev
    SUFFIXES openblas-serial ${CMAKE_LIBRARY_ARCHITECTURE}/openblas-serial)
endif()

# ONNX' protobuf classes are in libonnx_proto; libonnx (checker, shape inference) is not needed. The two definitions choose the
# header and the namespace that Debian's library was built with.
if(KONV_WITH_CONVERTER)
  find_package(Protobuf REQUIRED)
  konv_import_library(konv::onnx HEADER onnx/onnx_pb.h LIBRARY onnx_proto PACKAGE libonnx-dev)
  set_target_properties(konv::onnx PROPERTIES
    INTERFACE_COMPILE_DEFINITIONS "ONNX_ML=1;ONNX_NAMESPACE=onnx"
    INTERFACE_LINK_LIBRARIES protobuf::libprotobuf)
  # libzip's own CMake file insists on the command line tools of a package that nothing else wants.
  konv_import_library(konv::libzip HEADER zip.h LIBRARY zip PACKAGE libzip-dev)
endif()

if(KONV_WITH_TOOLS)
  find_package(CLI11 REQUIRED)
  find_package(JPEG REQUIRED)
  find_package(PNG REQUIRED)
endif()

if(KONV_WITH_TESTS)
  find_package(doctest REQUIRED)
  include(doctest)
endif()
