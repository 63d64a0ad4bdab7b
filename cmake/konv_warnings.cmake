# konv::warnings: the warnings every konv target is compiled with.
#
#   target_link_libraries(konv_graph PRIVATE konv::warnings)
#
# Left out on purpose: -Wconversion and -Wsign-conversion (index arithmetic between int64_t, size_t and int is the daily
# bread of kernels; the casts would hide the formulas) and -Wdouble-promotion (oracles sum floats in double). -Wfloat-conversion
# stays: a double silently rounded to float is how two kernels start to differ.

option(KONV_WERROR "Warnings are errors" OFF)

add_library(konv_warnings INTERFACE)
add_library(konv::warnings ALIAS konv_warnings)

set(konv_cxx_warnings
    -Wall
    -Wextra
    -Wpedantic
    -Wshadow
    -Wundef
    -Wcast-qual
    -Wfloat-conversion
    -Wimplicit-fallthrough
    -Wnon-virtual-dtor
    -Woverloaded-virtual
    -Wextra-semi
    -Wunused
    -Wvla
    -Wno-missing-field-initializers)  # designated initializers leave defaults alone on purpose
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  list(APPEND konv_cxx_warnings -Wduplicated-cond -Wduplicated-branches -Wlogical-op -Wredundant-tags)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  list(APPEND konv_cxx_warnings -Wno-restrict) # "a" + std::to_string(n) is reported falsely: https://gcc.gnu.org/PR105651
endif()
if(KONV_WERROR)
  list(APPEND konv_cxx_warnings -Werror)
endif()

target_compile_options(konv_warnings INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${konv_cxx_warnings}>")
unset(konv_cxx_warnings)
