# konv_isa_unit(TARGET PATH ISA): compiles kernels/cpu/**/NAME.isa.h (see kernels/cpu/per_isa.h) for an instruction set, as a source of TARGET.
#
# On other processors the x86 units are compiled without their flags, and quickly: the lists stay whole, so a plan for any CPU can be made anywhere,
# and no such CPU ever chooses them.
# Always optimised: at -O0 inline functions would stay behind as symbols that other units might be linked to.
# Floating point contraction is welcome: float kernels owe each other closeness, not bits. Integer kernels owe each other bits, requantization included,
# so there nothing is contracted.
set(KONV_KERNEL_OPTIMISATION -O3 CACHE STRING "Optimisation of the per-ISA units (the sanitizer presets say -O1: instrumented and unrolled, -O3 takes minutes a unit; without expensive ones nothing is contracted but what is written as such)")

function(konv_isa_unit target path isa)
  set(portable "")
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64|amd64")
    set(avx2 -mavx2 -mfma -mf16c)
    set(avx512 ${avx2} -mavx512f -mavx512dq -mavx512bw -mavx512vl -mprefer-vector-width=512)
    set(avx512_vnni ${avx512} -mavx512vnni)
    set(avx512_bf16 ${avx512_vnni} -mavx512bf16)
    set(avx512_amx ${avx512_bf16} -mamx-tile -mamx-int8 -mamx-bf16)
  else()
    foreach(other IN ITEMS avx2 avx512 avx512_vnni avx512_bf16 avx512_amx)
      set(${other} -O1)
    endforeach()
  endif()
  set(options ${KONV_KERNEL_OPTIMISATION} -ffp-contract=fast)
  if(path MATCHES "^kernels/cpu/integer/")
    list(APPEND options -ffp-contract=off) # the last one counts
  endif()
  string(REGEX REPLACE "\\.isa\\.h$" "" stem ${path})
  set(unit ${CMAKE_CURRENT_BINARY_DIR}/isa/${stem}.${isa}.cpp)
  file(CONFIGURE OUTPUT ${unit} CONTENT "#define KONV_ISA @isa@\n#include \"@path@\"\n" @ONLY)
  set_source_files_properties(${unit} PROPERTIES COMPILE_OPTIONS "${options};${${isa}}")
  target_sources(${target} PRIVATE ${unit})
endfunction()
